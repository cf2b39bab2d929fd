"""Clips through real files."""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path

import pytest
import torch

av = pytest.importorskip("av")

from anyloom.conversation.segments import Media  # noqa: E402
from anyloom.errors import MediaError  # noqa: E402
from anyloom_media.audio import AudioIO  # noqa: E402
from anyloom_media.video import VideoIO  # noqa: E402

IO = VideoIO.from_options()
COLOURS = torch.tensor([[0.9, 0.1, 0.1], [0.1, 0.8, 0.2], [0.2, 0.2, 0.9], [1.0, 1.0, 1.0]])


def clip(frames: int = 8, fps: float = 8.0) -> Media:
    """Four plain squares whose colours move on by one square in every second frame."""
    order = [[(square + frame // 2) % 4 for square in range(4)] for frame in range(frames)]
    corners = COLOURS[torch.tensor(order)].view(frames, 2, 2, 3).permute(0, 3, 1, 2)
    return Media("video", torch.nn.functional.interpolate(corners, scale_factor=32), meta={"fps": fps})


def inner(data: torch.Tensor) -> torch.Tensor:
    """Middles of the four squares in 0..1, away from the edges, where colours are stored at half resolution."""
    data = data.float() / 255 if data.dtype == torch.uint8 else data
    return data[..., [8, 9, 22, 23, 40, 41, 54, 55], :][..., [8, 9, 22, 23, 40, 41, 54, 55]]


@pytest.mark.parametrize("suffix", VideoIO.suffixes)
def test_round_trip_keeps_frames_rate_and_colours(tmp_path: Path, suffix: str) -> None:
    media = clip()
    back = IO.read(IO.write(media, tmp_path / f"a{suffix}"))
    assert back.tensor().dtype == torch.uint8
    assert back.tensor().shape == (8, 3, 64, 64)
    assert back.meta["fps"] == pytest.approx(8)
    assert (inner(back.tensor()) - inner(media.tensor())).abs().max() < 0.03


def test_bytes_and_floats_give_the_same_file(tmp_path: Path) -> None:
    media = clip()
    as_bytes = Media("video", (media.tensor() * 255).round().to(torch.uint8), meta=media.meta)
    first, second = IO.write(media, tmp_path / "a.mp4"), IO.write(as_bytes, tmp_path / "b.mp4")
    torch.testing.assert_close(IO.read(first).tensor(), IO.read(second).tensor())


def test_film_rates_are_kept(tmp_path: Path) -> None:
    back = IO.read(IO.write(clip(fps=30000 / 1001), tmp_path / "a.mp4"))
    assert back.meta["fps"] == pytest.approx(30000 / 1001)


def test_clip_of_a_turned_camera_is_upright(tmp_path: Path) -> None:
    path = IO.write(clip(), tmp_path / "a.mp4")
    content = bytearray(path.read_bytes())
    matrix = content.index(b"tkhd") + 4 + 40
    quarter_turn_clockwise = [0, 0x10000, 0, -0x10000, 0, 0, 64 * 0x10000, 0, 0x40000000]
    content[matrix : matrix + 36] = b"".join(v.to_bytes(4, "big", signed=True) for v in quarter_turn_clockwise)
    path.write_bytes(content)
    expected = torch.rot90(clip().tensor(), -1, (2, 3))
    assert (inner(IO.read(path).tensor()) - inner(expected)).abs().max() < 0.03


@pytest.mark.parametrize("suffix", VideoIO.suffixes)
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_truncated_file_is_refused(tmp_path: Path, suffix: str, share: float) -> None:
    generator = torch.Generator().manual_seed(0)
    noise = torch.nn.functional.interpolate(torch.rand(24, 3, 12, 12, generator=generator), scale_factor=4)
    path = IO.write(Media("video", noise, meta={"fps": 12}), tmp_path / f"a{suffix}")
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(MediaError, match="not a readable video file") as caught:
        IO.read(path)
    assert caught.value.where == str(path)


def test_files_of_another_kind_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("not a clip at all\n" * 100)
    sound = Media("audio", torch.zeros(1, 8000), meta={"sample_rate": 8000})
    AudioIO.from_options().write(sound, tmp_path / "a.wav").rename(tmp_path / "sound.mp4")
    with pytest.raises(MediaError, match="not a readable video file"):
        IO.read(tmp_path / "text.mp4")
    with pytest.raises(MediaError, match="its content is none of MP4"):
        IO.read(tmp_path / "sound.mp4")
    with pytest.raises(MediaError, match="no such file"):
        IO.read(tmp_path / "none.mp4")


@pytest.mark.parametrize(
    ("media", "message"),
    [
        (Media("video", torch.zeros(4, 3, 8, 8)), "frame rate is unknown"),
        (Media("video", torch.zeros(4, 3, 7, 8), meta={"fps": 4}), "even width and height, got 8 x 7"),
        (Media("video", torch.zeros(3, 8, 8), meta={"fps": 4}), r"expected a tensor \(T, 3, H, W\)"),
        (Media("video", torch.zeros(0, 3, 8, 8), meta={"fps": 4}), r"got \(0, 3, 8, 8\)"),
    ],
)
def test_tensors_that_are_no_clips(tmp_path: Path, media: Media, message: str) -> None:
    with pytest.raises(MediaError, match=message):
        IO.write(media, tmp_path / "a.mp4")


@pytest.mark.parametrize("size", [(64, 64), (15, 33)])
def test_html_holds_a_clip_that_decodes(size: tuple[int, int]) -> None:
    html = IO.to_html(Media("video", torch.rand(5, 3, *size), meta={"fps": 5}))
    found = re.search(r'<video [^>]*src="data:video/mp4;base64,([^"]+)"', html)
    assert found
    with av.open(io.BytesIO(base64.b64decode(found[1]))) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(frames) == 5
    assert frames[0].shape == (size[0] + size[0] % 2, size[1] + size[1] % 2, 3)
