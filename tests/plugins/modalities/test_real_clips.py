"""Clips of real life: edit lists, variable rate, long ones, playlists; and what FFmpeg would do if it were let."""

from __future__ import annotations

import http.server
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

av = pytest.importorskip("av")

from anyloom.conversation import Media  # noqa: E402
from anyloom.errors import AnyloomError, MediaError  # noqa: E402
from anyloom.media import conversation_from_json, read_media  # noqa: E402
from anyloom_media.video import VideoIO  # noqa: E402

FILES = Path(__file__).parents[2] / "fixtures" / "media"
IO = VideoIO.from_options()
COUNTED = {"cut.mp4": 27, "cut.mov": 27, "cut.mkv": 57, "vfr.mp4": 27, "vfr.mkv": 27, "vfr.webm": 27}
"""Frames by ``ffprobe -count_frames``: what the edit lists hide is not among them."""

SECONDS = {"cut.mp4": 1.16, "cut.mov": 1.16, "cut.mkv": 2.36, "vfr.mp4": 4.0, "vfr.mkv": 4.0, "vfr.webm": 4.0}
"""From the first frame's time to the end of the last one, by ``ffprobe -show_frames``."""


@pytest.mark.parametrize("name", COUNTED)
def test_whole_clip_is_read_with_its_frames_and_its_duration(name: str) -> None:
    media = read_media(FILES / name)
    assert len(media.tensor()) == COUNTED[name]
    assert len(media.tensor()) / media.meta["fps"] == pytest.approx(SECONDS[name], abs=0.002)


def write(path: Path, times: list[Fraction], *, codec: str = "libx264", kind: str | None = None) -> None:
    """A clip whose n-th frame is of the shade ``10 + 8 n`` and is shown at the n-th time, in seconds."""
    with av.open(str(path), "w", format=kind) as container:
        stream = container.add_stream(codec, rate=1000, options={"crf": "1", "bf": "0"})
        stream.width = stream.height = 32
        stream.pix_fmt, stream.codec_context.time_base = "yuv420p", Fraction(1, 1000)
        for number, time in enumerate(times):
            shade = torch.full((32, 32, 3), 10 + 8 * number, dtype=torch.uint8)
            frame = av.VideoFrame.from_ndarray(shade.numpy(), format="rgb24")
            frame.pts, frame.time_base = round(time * 1000), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def numbers(frames: torch.Tensor) -> list[int]:
    """Which frames these are, by their shade."""
    return [round((float(frame.float().mean()) - 10) / 8) for frame in frames]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov"])
def test_variable_rate_is_resampled_by_presentation_time(tmp_path: Path, suffix: str) -> None:
    """A frame of 0.1 s, one of 1.9 s, eight of 0.25 s: 10 frames in 4 s, so the steps are at 0.2, 0.6, 1.0, ... s."""
    starts = [Fraction(0), Fraction(1, 10), *(2 + Fraction(n, 4) for n in range(8))]
    write(tmp_path / f"a{suffix}", starts)
    media = read_media(tmp_path / f"a{suffix}")
    steps = len(media.tensor())
    fps = media.meta["fps"]
    assert steps == 10
    assert fps == pytest.approx(2.5, rel=0.07)  # the container may not say how long the last frame lasts
    middles = [(step + 0.5) / fps for step in range(steps)]
    expected = [max(n for n, start in enumerate(starts) if float(start) <= middle) for middle in middles]
    assert numbers(media.tensor()) == expected
    assert expected[:5] == [1, 1, 1, 1, 1], "the long frame is shown for half of the clip"


def test_rounded_timestamps_of_a_constant_rate_change_nothing(tmp_path: Path) -> None:
    """Matroska keeps milliseconds: 30000/1001 frames per second come as 0, 33, 67, 100, ..."""
    write(tmp_path / "a.mkv", [Fraction(round(n * 1001 / 30), 1000) for n in range(20)])
    media = read_media(tmp_path / "a.mkv")
    assert numbers(media.tensor()) == list(range(20))
    assert media.meta["fps"] == pytest.approx(30000 / 1001, rel=0.01)


def test_clip_that_starts_late_is_whole(tmp_path: Path) -> None:
    write(tmp_path / "a.mkv", [5 + Fraction(n, 10) for n in range(12)])
    media = read_media(tmp_path / "a.mkv")
    assert numbers(media.tensor()) == list(range(12))
    assert media.meta["fps"] == pytest.approx(10, rel=0.01)


def test_single_frame_is_a_clip(tmp_path: Path) -> None:
    path = IO.write(Media("video", torch.rand(1, 3, 16, 16), meta={"fps": 5}), tmp_path / "a.mp4")
    assert (read_media(path).tensor().shape, read_media(path).meta["fps"]) == ((1, 3, 16, 16), 5)


def test_a_cover_picture_is_no_clip(tmp_path: Path) -> None:
    """A music file with a cover that is called .mp4: iTunes' ``covr`` atom, as FFmpeg writes an attached picture."""
    path = tmp_path / "song.mp4"
    with av.open(str(path), "w") as container:
        sound = container.add_stream("aac", rate=16000, layout="mono")
        cover = container.add_stream("png", rate=1)
        cover.width = cover.height = 16
        cover.pix_fmt = "rgb24"
        cover.disposition = av.stream.Disposition.attached_pic
        picture = av.VideoFrame.from_ndarray(np.zeros((16, 16, 3), np.uint8), format="rgb24")
        container.mux(cover.encode(picture))
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 4096), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 16000
        container.mux(sound.encode(frame))
        container.mux(sound.encode())
    with pytest.raises(MediaError, match="it holds sound alone"):
        read_media(path)
    assert read_media(path, "audio").tensor().shape[1] >= 4096


def test_wanted_frames_come_in_the_order_asked_for_and_reduced(tmp_path: Path) -> None:
    shades = torch.arange(20).view(20, 1, 1, 1).expand(20, 3, 48, 64) / 25
    path = IO.write(Media("video", shades, meta={"fps": 10}), tmp_path / "a.mp4")
    lazy = read_media(path, lazy=True)
    assert lazy.length() == 20
    whole = lazy.tensor()
    assert torch.equal(lazy.sample([13, 2, 2, 19]), whole[[13, 2, 2, 19]])
    small = lazy.sample([13, 2], side=12)
    assert small.shape == (2, 3, 12, 16)
    assert (small.float() / 255 - shades[[13, 2], :, :12, :16]).abs().max() < 0.02
    assert lazy.sample([1], side=500).shape == (1, 3, 48, 64), "never enlarged"
    with pytest.raises(MediaError, match=r"20 frames, no frame 20"):
        lazy.sample([20])


@pytest.mark.slow
def test_long_clip_is_sampled_in_little_memory(tmp_path: Path) -> None:
    """8 s of 720p are 553 MB as bytes; four frames of them cost a few dozen beyond the libraries."""
    code = f"""
import resource, sys, torch, av
from anyloom.media import Media, read_media
from anyloom_media.video import VideoIO
path = {str(tmp_path / "hd.mp4")!r}
if sys.argv[1] == "write":
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=25, options={{"preset": "ultrafast"}})
        stream.width, stream.height, stream.pix_fmt = 1280, 720, "yuv420p"
        for n in range(200):
            picture = torch.zeros(720, 1280, 3, dtype=torch.uint8)
            picture[:, n * 6 : n * 6 + 60] = 255
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture.numpy(), format="rgb24")))
        container.mux(stream.encode())
else:
    clip = read_media(path, lazy=True)
    start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert clip.length() == 200 and clip.meta["fps"] == 25
    assert clip.sample([0, 60, 120, 199], side=224).shape == (4, 3, 224, 399)
    print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - start) // 1024)
"""
    subprocess.run([sys.executable, "-c", code, "write"], check=True, timeout=300)
    run = [sys.executable, "-c", code, "read"]
    used = subprocess.run(run, check=True, timeout=300, capture_output=True, text=True).stdout
    assert int(used) < 200, "megabytes"


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("max_frames", 7, "8 frames are more than the limit of 7"),
        ("max_seconds", 0.5, "seconds are more than the limit of 0.5"),
        ("max_pixels", 4095, "4,096 pixels are more than the limit of 4,095"),
        ("max_fps", 7.5, "8 frames per second are more than the limit of 7.5"),
        ("max_bytes", 8 * 3 * 64 * 64 - 1, "98,304 bytes of frames are more than the limit of 98,303"),
    ],
)
def test_limits(tmp_path: Path, option: str, value: float, message: str) -> None:
    path = IO.write(Media("video", torch.rand(8, 3, 64, 64), meta={"fps": 8}), tmp_path / "a.mp4")
    with pytest.raises(MediaError, match=message) as caught:
        read_media(path, options={option: value})
    assert option in caught.value.fix


def test_long_black_clip_is_refused_before_its_frames_are_held(tmp_path: Path) -> None:
    """Full HD, a second, 40 kB: 25 of its frames are 155 MB."""
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 1920, 1080, "yuv420p"
        for _ in range(25):
            black = torch.zeros(1080, 1920, 3, dtype=torch.uint8).numpy()
            container.mux(stream.encode(av.VideoFrame.from_ndarray(black, format="rgb24")))
        container.mux(stream.encode())
    with pytest.raises(MediaError, match="155,520,000 bytes of frames"):
        read_media(tmp_path / "a.mp4", options={"max_bytes": 100_000_000})


@pytest.mark.parametrize("name", ["a.txt", "a.asc", "a.ans", "a.mp4", "a.mkv", "a.avi"])
def test_text_is_not_rendered_as_a_clip(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("a secret of many lines\n" * 200)
    part = {"type": "video", "path": name}
    value = [{"role": "user", "content": [part]}]
    media = conversation_from_json(value, root=tmp_path).media[0]
    with pytest.raises(MediaError, match="its content is none of MP4"):
        media.tensor()
    with pytest.raises(MediaError, match="its content is none of MP4"):
        dict(media.meta)


@pytest.fixture
def canary() -> Iterator[tuple[int, list[str]]]:
    """A local server that counts who asks it."""
    hits: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            hits.append(self.path)
            self.send_error(404)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port, hits
    server.shutdown()
    server.server_close()


def test_playlists_open_no_other_file_and_no_address(tmp_path: Path, canary: tuple[int, list[str]]) -> None:
    port, hits = canary
    secret = IO.write(Media("video", torch.rand(4, 3, 16, 16), meta={"fps": 4}), tmp_path / "secret.mp4")
    texts = [
        f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{place}\n#EXT-X-ENDLIST\n" for place in (secret, "secret.mp4")
    ]
    texts.append(f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nhttp://127.0.0.1:{port}/a.ts\n#EXT-X-ENDLIST\n")
    texts.append(f"ffconcat version 1.0\nfile '{secret}'\n")
    texts.append(f"v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nm=video {port} RTP/AVP 96\n")
    for text in texts:
        for name in ("a.m3u8", "a.mp4", "a.mkv", "a.webm", "a.avi", "a.ffconcat", "a.sdp"):
            (tmp_path / name).write_text(text)
            for modality in ("video", "audio", "image"):
                with pytest.raises(MediaError):
                    read_media(tmp_path / name, modality)
    assert hits == []


def test_path_with_the_look_of_an_address_is_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, canary: tuple[int, list[str]]
) -> None:
    port, hits = canary
    monkeypatch.chdir(tmp_path)
    name = f"http:/127.0.0.1:{port}/q.mp4"
    Path(name).parent.mkdir(parents=True)
    clip = IO.write(Media("video", torch.rand(4, 3, 16, 16), meta={"fps": 4}), tmp_path / "clip.mp4")
    clip.rename(name)
    assert len(read_media(name, "video").tensor()) == 4
    other = Path(f"tcp:127.0.0.1:{port}")
    other.write_bytes(Path(name).read_bytes())
    assert len(read_media(other, "video").tensor()) == 4
    assert hits == []


@pytest.mark.parametrize("suffix", [".png", ".gif", ".jpg"])
def test_picture_is_no_clip(tmp_path: Path, suffix: str) -> None:
    from anyloom_media.image import ImageIO

    ImageIO.from_options().write(Media("image", torch.rand(3, 8, 8)), tmp_path / f"a{suffix}").rename(
        tmp_path / "a.mp4"
    )
    with pytest.raises(MediaError, match="its content is none of MP4"):
        read_media(tmp_path / "a.mp4")


def test_changed_bytes_raise_nothing_raw(tmp_path: Path) -> None:
    import random

    draw = random.Random(0)
    for suffix in (".mp4", ".webm", ".avi"):
        path = IO.write(Media("video", torch.rand(6, 3, 16, 16), meta={"fps": 6}), tmp_path / f"a{suffix}")
        original = path.read_bytes()
        for _ in range(60):
            content = bytearray(original)
            for _ in range(draw.randint(1, 6)):
                content[draw.randrange(len(content))] = draw.randrange(256)
            path.write_bytes(content)
            try:
                media = read_media(path)
            except AnyloomError:
                continue
            assert media.tensor().dtype == torch.uint8


def test_live_stream_of_unknown_size_is_read(tmp_path: Path) -> None:
    """Matroska written to a pipe says no size: the segment's is "unknown", which is all ones."""
    write(tmp_path / "a.mkv", [Fraction(n, 10) for n in range(12)])
    content = bytearray((tmp_path / "a.mkv").read_bytes())
    place = content.index(b"\x18\x53\x80\x67") + 4
    assert content[place] == 1, "a size of eight bytes"
    content[place : place + 8] = b"\x01" + b"\xff" * 7
    (tmp_path / "a.mkv").write_bytes(content)
    assert numbers(read_media(tmp_path / "a.mkv").tensor()) == list(range(12))


def test_a_pipe_named_like_a_clip_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.mp4")
    with pytest.raises(MediaError, match="no such file"):
        IO.read(tmp_path / "a.mp4")


def test_clip_without_pyav_names_its_cure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("anyloom.discovery.registry.missing_modules", lambda names: [n for n in names if n == "av"])
    (tmp_path / "a.mp4").touch()
    from anyloom.media import files

    files._io.cache_clear()
    with pytest.raises(AnyloomError, match=r"needs av.*pip install 'anyloom\[video\]'"):
        read_media(tmp_path / "a.mp4")


def test_pages_stay_small_for_large_media(tmp_path: Path) -> None:
    from anyloom_media.audio import AudioIO
    from anyloom_media.image import ImageIO

    picture = ImageIO.from_options().to_html(Media("image", torch.zeros(3, 3000, 1500)))
    assert 'width="512" height="1024"' in picture
    sound = AudioIO.from_options().to_html(Media("audio", torch.zeros(1, 600 * 8000), meta={"sample_rate": 8000}))
    assert len(sound) < 4 / 3 * 2 * 121 * 8000 + 50_000, "two minutes"
    clip = IO.to_html(Media("video", torch.zeros(400, 3, 16, 16), meta={"fps": 100}))
    assert "400 frames" in clip
