"""Sounds of real life: lengths that headers do not tell, samples that are none, other containers, limits."""

from __future__ import annotations

import contextlib
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from anyloom.conversation import Media
from anyloom.errors import MediaError
from anyloom.media import read_media, write_media
from anyloom_media.audio import AudioIO, resample

FILES = Path(__file__).parents[2] / "fixtures" / "media"
IO = AudioIO.from_options()
COUNTED = {"vbr_noxing.mp3": 33408, "vbr_noxing2.mp3": 49536, "cbr_noxing.mp3": 33408, "piped.flac": 32000}
"""Samples by FFmpeg."""


@pytest.mark.parametrize("name", COUNTED)
def test_sound_has_the_length_that_decoding_gives(name: str) -> None:
    assert read_media(FILES / name).tensor().shape == (1, COUNTED[name])


@pytest.mark.parametrize("name", COUNTED)
def test_sound_has_the_samples_that_ffmpeg_gives(name: str) -> None:
    av = pytest.importorskip("av")
    with av.open(str(FILES / name)) as container:
        blocks = [frame.to_ndarray() for frame in container.decode(audio=0)]
    expected = np.concatenate(blocks, axis=1)
    expected = expected / 32768 if expected.dtype == np.int16 else expected
    assert np.abs(read_media(FILES / name).tensor().numpy() - expected).max() < 1e-5


def tone(seconds: float = 2.0, rate: int = 16000) -> Media:
    time = torch.arange(round(seconds * rate)) / rate
    return Media("audio", 0.5 * torch.sin(2 * torch.pi * 440 * time)[None], meta={"sample_rate": rate})


def frames_of(content: bytes) -> list[bytes]:
    """The frames of an MP3 that libsndfile wrote: 16 kHz, so 72 * kbit/s / 16 bytes each (ISO 13818-3)."""
    rates = (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
    frames = []
    while content[:1] == b"\xff":
        length = 72 * rates[(content[2] >> 4) - 1] // 16 + (content[2] >> 1 & 1)
        frames.append(content[:length])
        content = content[length:]
    return frames


def test_joined_mp3_is_read_to_its_end(tmp_path: Path) -> None:
    """Two files one after the other: the first frame counts the frames of the first file alone."""
    content = IO.write(tone(), tmp_path / "a.mp3").read_bytes()
    (tmp_path / "b.mp3").write_bytes(content + b"".join(frames_of(content)[1:]))
    count = len(frames_of(content)) - 1
    assert read_media(tmp_path / "b.mp3").tensor().shape[1] == pytest.approx(2 * count * 576, abs=1)


@pytest.mark.parametrize("tail", [b"TAG" + bytes(125), b"APETAGEX" + bytes(24), b"\xff" * 40])
def test_what_stands_behind_an_mp3_is_no_sound(tmp_path: Path, tail: bytes) -> None:
    content = (FILES / "vbr_noxing.mp3").read_bytes()
    (tmp_path / "a.mp3").write_bytes(content + tail)
    assert read_media(tmp_path / "a.mp3").tensor().shape == (1, 33408)


def test_mp3_that_ends_in_a_frame_is_cut(tmp_path: Path) -> None:
    (tmp_path / "a.mp3").write_bytes((FILES / "cbr_noxing.mp3").read_bytes()[:-100])
    with pytest.raises(MediaError, match="the last frame is cut"):
        read_media(tmp_path / "a.mp3")


def test_ogg_cut_after_a_page_mark_is_refused() -> None:
    with pytest.raises(MediaError, match="the last page is missing"):
        read_media(FILES / "cut_at_page.ogg")


@pytest.mark.parametrize("suffix", [".ogg", ".opus", ".wav", ".flac", ".mp3"])
def test_every_cut_is_refused_or_read_whole(tmp_path: Path, suffix: str) -> None:
    """At any byte: one MediaError, or all samples (what is missing held none)."""
    path = IO.write(tone(0.25), tmp_path / f"a{suffix}")
    content, length = path.read_bytes(), read_media(path).tensor().shape[1]
    cuts = {*range(0, len(content), max(1, len(content) // 60)), *range(len(content) - 30, len(content))}
    for cut in sorted(cuts):
        path.write_bytes(content[:cut])
        try:
            read = read_media(path).tensor().shape[1]
        except MediaError:
            continue
        assert read == length, f"{cut} of {len(content)} bytes"


@pytest.mark.parametrize(("whole", "data"), [(0xFFFFFFFF, 0xFFFFFFFF), (0x7FFFFFFF, 0x7FFFFFFF - 36), (36, 0), (0, 0)])
def test_wav_from_a_pipe_is_read_to_its_end(tmp_path: Path, whole: int, data: int) -> None:
    samples = (np.sin(np.arange(8000) / 9) * 20000).astype("<i2").tobytes()
    header = b"WAVEfmt " + struct.pack("<IHHIIHH", 16, 1, 1, 8000, 16000, 2, 16) + b"data" + struct.pack("<I", data)
    (tmp_path / "a.wav").write_bytes(b"RIFF" + struct.pack("<I", whole) + header + samples)
    assert read_media(tmp_path / "a.wav").tensor().shape == (1, 8000)


def test_wav_whose_samples_are_cut_is_refused_whatever_the_whole_says(tmp_path: Path) -> None:
    header = b"WAVEfmt " + struct.pack("<IHHIIHH", 16, 1, 1, 8000, 16000, 2, 16) + b"data" + struct.pack("<I", 16000)
    (tmp_path / "a.wav").write_bytes(b"RIFF" + b"\xff" * 4 + header + bytes(9000))
    with pytest.raises(MediaError, match="9044 of 16044 bytes are there"):
        read_media(tmp_path / "a.wav")


@pytest.mark.parametrize("said", [2, 1000, 15_000])
@pytest.mark.parametrize("whole", [16_036, 36, 0xFFFFFFFF])
def test_wav_that_has_more_samples_than_it_says_is_refused_with_what_is_there(
    tmp_path: Path, said: int, whole: int
) -> None:
    samples = (np.sin(np.arange(8000) / 9) * 20_000 + 400).astype("<i2").tobytes()
    header = b"WAVEfmt " + struct.pack("<IHHIIHH", 16, 1, 1, 8000, 16000, 2, 16) + b"data" + struct.pack("<I", said)
    (tmp_path / "a.wav").write_bytes(b"RIFF" + struct.pack("<I", whole) + header + samples)
    told = f"its parts end at byte {44 + said} by what they say, and {16_000 - said} more bytes follow that are none"
    with pytest.raises(MediaError, match=told):
        read_media(tmp_path / "a.wav")


@pytest.mark.parametrize("after", [bytes(100), b"LIST\x04\0\0\0INFO", b"id3 \0\0\0\0", b"junk"])
def test_wav_with_something_after_its_samples_is_read(tmp_path: Path, after: bytes) -> None:
    header = b"WAVEfmt " + struct.pack("<IHHIIHH", 16, 1, 1, 8000, 16000, 2, 16) + b"data" + struct.pack("<I", 16000)
    (tmp_path / "a.wav").write_bytes(b"RIFF" + struct.pack("<I", 16036) + header + bytes(16_000) + after)
    assert read_media(tmp_path / "a.wav").tensor().shape == (1, 8000)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [0, 70_000, -1])
def test_samples_that_are_not_finite_are_refused(tmp_path: Path, value: float, place: int) -> None:
    samples = np.zeros((100_000, 2), np.float32)
    samples[place, 1] = value
    soundfile.write(tmp_path / "a.wav", samples, 16000, subtype="FLOAT")
    with pytest.raises(MediaError, match="NaN or infinite"):
        read_media(tmp_path / "a.wav")


@pytest.mark.parametrize(
    ("rate", "channels", "message"),
    [(1, 1, "1 Hz is below the limit of 1000"), (768_000, 1, "max_rate"), (16000, 70, "70 channels are more")],
)
def test_rates_and_channels_beyond_the_limits(tmp_path: Path, rate: int, channels: int, message: str) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros((10, channels)), rate)
    with pytest.raises(MediaError, match=message):
        read_media(tmp_path / "a.wav")
    with pytest.raises(MediaError):
        dict(read_media(tmp_path / "a.wav", lazy=True).meta) if channels == 1 else read_media(tmp_path / "a.wav")


def test_sixty_four_channels_are_averaged(tmp_path: Path) -> None:
    samples = np.tile(np.linspace(-1, 1, 64), (50, 1))
    soundfile.write(tmp_path / "a.wav", samples, 16000, subtype="FLOAT")
    assert read_media(tmp_path / "a.wav").tensor().abs().max() < 1e-6


def test_length_is_limited_while_it_is_decoded(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.flac", np.zeros((80_000, 1)), 8000)
    with pytest.raises(MediaError, match=r"seconds are more than the limit of 5.*max_seconds"):
        read_media(tmp_path / "a.flac", options={"max_seconds": 5})
    assert read_media(tmp_path / "a.flac", options={"max_seconds": 10}).tensor().shape == (1, 80_000)


def test_one_sample_is_still_one_at_a_lower_rate() -> None:
    short = Media("audio", torch.tensor([[0.5]]), meta={"sample_rate": 48000})
    assert resample(short, 16000).tensor().tolist() == [[0.5]]


@pytest.mark.parametrize("suffix", [".aiff", ".oga"])
def test_other_suffixes_of_libsndfile(tmp_path: Path, suffix: str) -> None:
    kind = {".aiff": "AIFF", ".oga": "OGG"}[suffix]
    soundfile.write(tmp_path / f"a{suffix}", np.sin(np.arange(8000) / 9), 16000, format=kind)
    assert read_media(tmp_path / f"a{suffix}").tensor().shape == (1, 8000)


def test_opus_is_written_and_read(tmp_path: Path) -> None:
    back = read_media(IO.write(tone(rate=48000), tmp_path / "a.opus"))
    assert back.tensor().shape == (1, 96000)
    assert (back.tensor() - tone(rate=48000).tensor())[:, 5000:-5000].abs().max() < 0.1


@pytest.mark.parametrize(
    ("suffix", "kind"), [(".m4a", "ipod"), (".aac", "adts"), (".mp4", "mp4"), (".mkv", "matroska")]
)
def test_sound_in_a_container(tmp_path: Path, suffix: str, kind: str) -> None:
    av = pytest.importorskip("av")
    wave = np.sin(np.arange(44100) * 2 * np.pi * 440 / 44100).astype(np.float32)
    with av.open(str(tmp_path / f"a{suffix}"), "w", format=kind) as container:
        stream = container.add_stream("aac", rate=44100, layout="stereo", bit_rate=128_000)
        frame = av.AudioFrame.from_ndarray(np.stack([wave, wave / 2]), format="fltp", layout="stereo")
        frame.sample_rate = 44100
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with av.open(str(tmp_path / f"a{suffix}")) as container:
        count = sum(frame.samples for frame in container.decode(audio=0))
    media = read_media(tmp_path / f"a{suffix}", "audio")
    assert media.meta == {"sample_rate": 44100}
    assert media.tensor().shape == (1, count)
    middle = media.tensor()[0, 10_000:30_000]
    assert float(middle.abs().max()) == pytest.approx(0.75, abs=0.05), "the mean of the channels"
    if suffix in (".mp4", ".mkv"):  # where a clip is expected the cure is named
        with pytest.raises(MediaError, match=r"it holds sound alone.*modality='audio'"):
            read_media(tmp_path / f"a{suffix}", "video")
    if suffix == ".m4a":
        path = tmp_path / "a.m4a"
        assert read_media(path).modality == "audio"
        path.write_bytes(path.read_bytes()[:-500])
        with pytest.raises(MediaError, match="not a readable audio file"):
            read_media(path)


def test_m4a_names_its_cure_where_pyav_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("anyloom_media.audio.missing_modules", lambda names: list(names))
    (tmp_path / "a.m4a").write_bytes(b"\x00\x00\x00\x18ftypM4A " + bytes(40))
    with pytest.raises(MediaError, match=r"need av.*pip install 'anyloom\[video\]'"):
        read_media(tmp_path / "a.m4a")


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg", ".mp3", ".aiff"])
def test_changed_bytes_raise_nothing_raw(tmp_path: Path, suffix: str) -> None:
    import random

    soundfile.write(tmp_path / f"a{suffix}", np.random.default_rng(0).normal(0, 0.1, 4000), 16000)
    path = tmp_path / f"a{suffix}"
    original, draw = path.read_bytes(), random.Random(0)
    for _ in range(80):
        content = bytearray(original)
        for _ in range(draw.randint(1, 6)):
            content[draw.randrange(min(len(content), 300))] = draw.randrange(256)
        path.write_bytes(content)
        with contextlib.suppress(MediaError):
            assert read_media(path).tensor().isfinite().all()


@pytest.mark.parametrize("suffix", [".ogg", ".opus"])
def test_a_chain_of_recordings_is_read_to_its_end(tmp_path: Path, suffix: str) -> None:
    """Chained Ogg (RFC 3533, section 4): what radio is recorded as. Each link as it is read alone."""
    one, two = (write_media(tone(seconds), tmp_path / f"{seconds}{suffix}") for seconds in (0.5, 1.25))
    chain = tmp_path / f"chain{suffix}"
    chain.write_bytes(one.read_bytes() + two.read_bytes() + one.read_bytes())
    expected = torch.cat([read_media(p).tensor() for p in (one, two, one)], 1)
    assert expected.shape[1] == 2.25 * 16000
    torch.testing.assert_close(read_media(chain).tensor(), expected)
    chain.write_bytes(chain.read_bytes()[:-500])
    with pytest.raises(MediaError, match="not a readable audio file"):
        read_media(chain)
    other = write_media(tone(0.5, 48000), tmp_path / f"other{suffix}")
    chain.write_bytes(one.read_bytes() + other.read_bytes())
    with pytest.raises(MediaError, match="16000 and 48000 Hz"):
        read_media(chain)


def test_a_sound_on_the_scale_of_whole_numbers_is_refused(tmp_path: Path) -> None:
    """16-bit numbers that were written as floats without a division; loud ones (12 dB above full scale) are read."""
    wave = (tone().tensor()[0] * 32768).numpy()
    soundfile.write(tmp_path / "wrong.wav", wave, 16000, subtype="FLOAT")
    with pytest.raises(MediaError, match=r"go to 16384, where -1\.\.1 is meant.*divide"):
        read_media(tmp_path / "wrong.wav")
    with pytest.raises(MediaError, match="go to 16384"):
        resample(Media("audio", torch.from_numpy(wave)[None], meta={"sample_rate": 16000}), 8000)
    soundfile.write(tmp_path / "loud.wav", wave / 8192, 16000, subtype="FLOAT")
    assert read_media(tmp_path / "loud.wav").tensor().max() == pytest.approx(2.0, abs=1e-3)
