"""Sounds through real files."""

from __future__ import annotations

import base64
import io
import math
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from anyloom.conversation.segments import Media
from anyloom.errors import MediaError
from anyloom_media.audio import AudioIO, resample
from anyloom_media.spectrogram import log_mel_picture

IO = AudioIO.from_options()


def tone(frequency: float = 440.0, rate: int = 16000, seconds: float = 0.5) -> Media:
    time = torch.arange(round(rate * seconds)) / rate
    return Media("audio", 0.5 * torch.sin(2 * math.pi * frequency * time)[None], meta={"sample_rate": rate})


def loudest_frequency(media: Media) -> float:
    """Frequency in Hz of the highest peak of the spectrum."""
    spectrum = torch.fft.rfft(media.tensor()[0]).abs()
    return float(spectrum.argmax()) * media.meta["sample_rate"] / media.tensor().shape[1]


@pytest.mark.parametrize(("suffix", "tolerance"), [(".wav", 2**-14), (".flac", 2**-22)])
def test_lossless_round_trip(tmp_path: Path, suffix: str, tolerance: float) -> None:
    sound = tone()
    back = IO.read(IO.write(sound, tmp_path / f"a{suffix}"))
    assert back.meta == {"sample_rate": 16000}
    torch.testing.assert_close(back.tensor(), sound.tensor(), rtol=0, atol=tolerance)


@pytest.mark.parametrize("suffix", [".ogg", ".mp3"])
def test_lossy_round_trip_keeps_length_and_pitch(tmp_path: Path, suffix: str) -> None:
    back = IO.read(IO.write(tone(), tmp_path / f"a{suffix}"))
    assert back.tensor().shape == (1, 8000)
    assert abs(loudest_frequency(back) - 440) <= 2


def test_the_rate_of_the_file_is_kept(tmp_path: Path) -> None:
    back = IO.read(IO.write(tone(rate=44100), tmp_path / "a.wav"))
    assert back.meta["sample_rate"] == 44100
    assert back.tensor().shape == (1, 22050)


def test_channels_are_averaged(tmp_path: Path) -> None:
    stereo = np.stack([np.full(100, 0.5), np.full(100, -0.25)], axis=1)
    soundfile.write(tmp_path / "a.wav", stereo, 8000, subtype="FLOAT")
    media = IO.read(tmp_path / "a.wav")
    torch.testing.assert_close(media.tensor(), torch.full((1, 100), 0.125))


def test_loud_samples_are_clamped_and_do_not_wrap(tmp_path: Path) -> None:
    loud = Media("audio", torch.tensor([[2.0, -2.0]]), meta={"sample_rate": 8000})
    back = IO.read(IO.write(loud, tmp_path / "a.wav")).tensor()
    torch.testing.assert_close(back, torch.tensor([[1.0, -1.0]]), rtol=0, atol=1e-4)


def test_resampling_keeps_pitch_and_duration() -> None:
    sound = resample(tone(1000, rate=44100), 16000)
    assert sound.meta["sample_rate"] == 16000
    assert sound.tensor().shape == (1, 8000)
    assert abs(loudest_frequency(sound) - 1000) <= 2
    middle = slice(1000, 7000)  # away from the ends, where the filter has no neighbours
    expected = tone(1000).tensor()[0, middle]
    torch.testing.assert_close(sound.tensor()[0, middle], expected, rtol=0, atol=1e-3)


def test_resampling_removes_what_the_lower_rate_cannot_hold() -> None:
    low = resample(tone(7000, rate=44100), 8000).tensor()
    assert low[:, 500:-500].abs().max() < 1e-3


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg", ".mp3"])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.9])
def test_truncated_file_is_refused(tmp_path: Path, suffix: str, share: float) -> None:
    generator = torch.Generator().manual_seed(0)
    noise = torch.rand(1, 64000, generator=generator) - 0.5
    path = IO.write(Media("audio", noise, meta={"sample_rate": 16000}), tmp_path / f"a{suffix}")
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(MediaError, match="not a readable audio file") as caught:
        IO.read(path)
    assert caught.value.where == str(path)


def test_wav_written_as_a_stream_is_read(tmp_path: Path) -> None:
    path = IO.write(tone(), tmp_path / "a.wav")
    content = bytearray(path.read_bytes())
    content[4:8] = b"\xff\xff\xff\xff"
    path.write_bytes(content)
    assert IO.read(path).tensor().shape == (1, 8000)


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg"])
def test_text_file_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("this is not a sound, whatever its name says\n" * 10)
    with pytest.raises(MediaError, match="not a readable audio file"):
        IO.read(tmp_path / name)


def test_rates_and_channels_have_limits(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, np.zeros((500, 2)), 500)
    assert AudioIO.from_options(min_rate=500, max_channels=2).read(path).tensor().shape == (1, 500)
    with pytest.raises(MediaError, match="500 Hz is below the limit of 501"):
        AudioIO.from_options(min_rate=501).read(path)
    with pytest.raises(MediaError, match="max_channels"):
        AudioIO.from_options(min_rate=500, max_channels=1).read(path)


def test_sound_without_samples_is_refused(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros((0, 1)), 8000)
    with pytest.raises(MediaError, match="no samples"):
        IO.read(tmp_path / "a.wav")


@pytest.mark.parametrize(
    ("media", "message"),
    [
        (Media("audio", torch.zeros(1, 10)), "rate is unknown.*sample_rate"),
        (Media("audio", torch.zeros(10), meta={"sample_rate": 8000}), r"expected a float tensor \(1, T\)"),
        (Media("audio", torch.zeros(2, 10), meta={"sample_rate": 8000}), r"got torch.float32 \(2, 10\)"),
        (Media("audio", torch.full((1, 9), torch.inf), meta={"sample_rate": 8000}), "infinite"),
    ],
)
def test_tensors_that_are_no_sounds(tmp_path: Path, media: Media, message: str) -> None:
    with pytest.raises(MediaError, match=message):
        IO.write(media, tmp_path / "a.wav")


def test_rate_that_the_format_does_not_know(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="cannot write 12345 Hz as MP3"):
        IO.write(tone(rate=12345), tmp_path / "a.mp3")


def test_html_plays_the_sound_and_shows_a_spectrogram() -> None:
    sound = tone(rate=44100)
    html = IO.to_html(sound)
    found = re.search(r'<audio controls src="data:audio/wav;base64,([^"]+)"', html)
    assert found
    samples, rate = soundfile.read(io.BytesIO(base64.b64decode(found[1])), dtype="float32")
    assert rate == 44100
    np.testing.assert_allclose(samples, sound.tensor()[0].numpy(), atol=2**-14)
    assert 'src="data:image/png;base64,' in html
    assert "http" not in html


@pytest.mark.parametrize("frequency", [300, 1000, 3500])
def test_spectrogram_shows_a_tone_at_its_height(frequency: int) -> None:
    picture = log_mel_picture(tone(frequency).tensor()[0], 16000)
    row = int(picture.sum(0)[:, 5:-5].mean(1).argmax())

    def mel(hertz: float) -> float:
        return 2595 * math.log10(1 + hertz / 700)

    expected = 63 - (mel(frequency) / mel(8000) * 65 - 1)  # 64 bands, centres at 1/65 ... 64/65 of the scale
    assert abs(row - expected) <= 1.5


@pytest.mark.parametrize("length", [1, 100, 8000, 600_000])
def test_spectrogram_of_any_length_has_a_bounded_size(length: int) -> None:
    picture = log_mel_picture(torch.zeros(length), 16000)
    assert picture.shape[:2] == (3, 64)
    assert 1 <= picture.shape[2] <= 320
    assert picture.isfinite().all()
    assert picture.max() < 0.1, "silence is dark"
