"""Sounds: ``(1, T)`` mono float32 in -1..1 with the sample rate in ``meta``."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np
import soundfile
import soxr
import torch
from pydantic import Field
from torch import Tensor

from anyloom.conversation import Media
from anyloom.conversation.waves import LOUDEST, RESCALE, checked_wave
from anyloom.discovery.targets import how_to_install, missing_modules
from anyloom.errors import AnyloomError, MediaError
from anyloom.interfaces.component import ComponentConfig
from anyloom.interfaces.modality import ModalityIO
from anyloom_media.files import data_uri, limit, opened, require_suffix, unreadable
from anyloom_media.formats import START, container_format, is_sound_file
from anyloom_media.image import picture_tag
from anyloom_media.notes import fits_sound, put_into_wave, sound_note
from anyloom_media.sound_file import READ_FORMATS, blocks, sample_rate
from anyloom_media.spectrogram import log_mel_picture

__all__ = ["AudioIO", "resample"]

_WRITTEN: Final = {
    ".wav": ("WAV", "PCM_16"),
    ".flac": ("FLAC", "PCM_24"),
    ".ogg": ("OGG", "VORBIS"),
    ".opus": ("OGG", "OPUS"),
    ".mp3": ("MP3", None),
}
_DRAWN_RATE: Final = 16000
_SAMPLE_BYTES: Final = 4
_PLAYED_SECONDS: Final = 120


class AudioIO(ModalityIO):
    """Reads and writes sounds. ``meta["sample_rate"]`` is in Hz.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     sound = Media("audio", torch.zeros(1, 100), meta={"sample_rate": 16000})
    ...     AudioIO.from_options().read(AudioIO.from_options().write(sound, Path(folder, "a.wav"))).meta
    {'sample_rate': 16000}
    """

    class Config(ComponentConfig):
        """Limits.

        Args:
            max_seconds: Length of a sound that is read.
            min_rate: Lowest sample rate in Hz.
            max_rate: Highest sample rate in Hz.
            max_channels: Channels, which are averaged.
        """

        max_seconds: float = Field(1800.0, gt=0)
        min_rate: int = Field(1000, gt=0)
        max_rate: int = Field(384_000, gt=0)
        max_channels: int = Field(64, gt=0)

    modality: ClassVar[str] = "audio"
    suffixes: ClassVar[tuple[str, ...]] = tuple(_WRITTEN)
    hub_feature: ClassVar[str] = "Audio"

    def read(self, path: Path) -> Media:
        """Read a sound as float32 ``(1, T)`` at the rate of the file; channels are averaged.

        The length is what the decoder gives, never what a header says. M4A, AAC and the sound of clips are read where
        PyAV is installed.

        Raises:
            anyloom.errors.MediaError: The file is missing, truncated, no sound, holds no samples or some that are not
                finite, is beyond a limit, or takes a package that is not installed.
        """
        rates: list[int] = []

        def check(rate: int, channels: int) -> None:
            self._check(path, rate, channels)
            rates.append(rate)

        samples = bytearray()  # it grows in place: a list of blocks would be held twice when it is joined
        for block in self._blocks(path, check):
            samples += _mono(block, path).tobytes()
            seconds = len(samples) / _SAMPLE_BYTES / rates[0]
            limit(path, "seconds", seconds, self.config.max_seconds, "max_seconds")
        if not samples:
            raise unreadable(path, self.modality, "it holds no samples")
        data = torch.frombuffer(samples, dtype=torch.float32).unsqueeze(0)
        return Media(self.modality, data, path=str(path), meta={"sample_rate": rates[0]})

    def _check(self, path: Path, rate: int, channels: int) -> None:
        limit(path, "channels", channels, self.config.max_channels, "max_channels")
        limit(path, "Hz", rate, self.config.max_rate, "max_rate")
        if rate < self.config.min_rate:
            what = f"a sample rate of {rate} Hz is below the limit of {self.config.min_rate}"
            raise MediaError(what, where=str(path), fix="resample it, or read it with the option min_rate set lower")

    def _blocks(self, path: Path, check: Any) -> Iterator[Any]:
        with opened(path) as file:
            start = file.read(START)
            file.seek(0)
            if is_sound_file(start):
                try:
                    yield from blocks(file, check)
                except AnyloomError:
                    raise
                except MemoryError:
                    raise
                except Exception as error:  # libsndfile's own, and those of its Python side
                    raise unreadable(path, self.modality, error) from error
                return
        if not container_format(start):
            raise unreadable(path, self.modality, f"its content is none of {', '.join(READ_FORMATS)}, M4A, AAC")
        _require_av(path)
        from anyloom_media.sound_track import blocks as track_blocks

        yield from track_blocks(path, check)

    def read_meta(self, path: Path) -> Mapping[str, float]:
        """Read the sample rate from the header.

        Raises:
            anyloom.errors.MediaError: The file is missing, no sound, or beyond a limit.
        """
        with opened(path) as file:
            start = file.read(START)
            file.seek(0)
            if not is_sound_file(start):
                return self.read(path).meta
            try:
                rate = sample_rate(file)
            except MemoryError:
                raise
            except Exception as error:  # see _blocks
                raise unreadable(path, self.modality, error) from error
        self._check(path, rate, 1)
        return {"sample_rate": rate}

    def write(self, media: Media, path: Path) -> Path:
        """Write a sound, clamped to -1..1: WAV with 16 bits, FLAC with 24, Ogg Vorbis, Opus or MP3.

        They keep the note, Opus one of at most 50,000 bytes.

        Raises:
            anyloom.errors.MediaError: The tensor is no sound, its rate is unknown or not one of the format's.
        """
        kind, subtype = _WRITTEN[require_suffix(path, self.suffixes, self.modality)]
        samples, rate = _checked(media, str(path))
        try:
            with path.open("wb") as file, soundfile.SoundFile(file, "w", rate, 1, subtype, format=kind) as sound:
                if media.note and fits_sound(subtype, media.note):
                    sound.comment = media.note
                sound.write(samples.numpy())
        except (soundfile.SoundFileError, RuntimeError, ValueError) as error:
            what = f"cannot write {rate} Hz as {kind}: {error}"
            raise MediaError(what, where=str(path), fix="resample it, or write .wav") from error
        if media.note and kind == "WAV":
            put_into_wave(path, media.note)
        return path

    def note(self, path: Path) -> str:
        """Return the note of a sound; see the interface."""
        return sound_note(path)

    def to_board(self, media: Media, board: Any, name: str, step: int) -> None:
        """Show a player."""
        samples, rate = _checked(media, "to_board")
        board.add_audio(name, samples[: _PLAYED_SECONDS * rate], step, sample_rate=rate)

    def to_html(self, media: Media) -> str:
        """Return a player with a small log-mel spectrogram under it; of a sound over two minutes, the start plays."""
        samples, rate = _checked(media, "to_html")
        buffer = io.BytesIO()
        soundfile.write(buffer, samples[: _PLAYED_SECONDS * rate].numpy(), rate, format="WAV", subtype="PCM_16")
        drawn = _at_rate(samples, rate, _DRAWN_RATE) if rate > _DRAWN_RATE else samples
        seconds = f"{len(samples) / rate:.1f} s"
        picture = picture_tag(log_mel_picture(drawn, min(rate, _DRAWN_RATE)), f"spectrogram, {seconds}")
        player = f'<audio controls src="{data_uri("audio/wav", buffer.getvalue())}" title="{seconds}"></audio>'
        return f"<div>{player}<br>{picture}</div>"


def resample(media: Media, sample_rate: int) -> Media:
    """Return a sound at another sample rate in Hz; its length in seconds stays, with one sample at least.

    Raises:
        anyloom.errors.MediaError: The tensor is no sound or its rate is unknown.

    >>> resample(Media("audio", torch.zeros(1, 441), meta={"sample_rate": 44100}), 16000).tensor().shape
    torch.Size([1, 160])
    """
    samples, rate = _checked(media, media.path or "resample")
    data = _at_rate(samples, rate, sample_rate).unsqueeze(0)
    return replace(media, data=data, loader=None, meta={**media.meta, "sample_rate": sample_rate})


def _at_rate(samples: Tensor, rate: int, wanted: int) -> Tensor:
    """Resample ``(T,)`` with soxr; of a sound shorter than one new sample, the mean is left."""
    if rate == wanted:
        return samples
    resampled = torch.from_numpy(soxr.resample(samples.numpy(), rate, wanted))
    return resampled if len(resampled) else samples.mean().reshape(1)


def _mono(block: Any, path: Path) -> Any:
    """The mean of the channels of samples ``(T, channels)``.

    Raises:
        anyloom.errors.MediaError: A sample is not finite, or so large that the scale is another.
    """
    mono = block.mean(axis=1, dtype=np.float32)
    if not np.isfinite(mono).all():
        what = "it holds samples that are NaN or infinite"
        fix = "find out what wrote them; one such sound spoils a training"
        raise MediaError(what, where=str(path), fix=fix, reason="NaN")
    peak = float(np.abs(mono).max(initial=0))
    if peak > LOUDEST:
        raise MediaError(f"its samples go to {peak:g}, where -1..1 is meant", where=str(path), fix=RESCALE)
    return mono


def _require_av(path: Path) -> None:
    if missing := missing_modules(["av"]):
        what = "sounds in MP4, Matroska or AAC need av (PyAV), which is not installed"
        raise MediaError(what, where=str(path), fix=how_to_install(missing, "anyloom"))


def _checked(media: Media, where: str) -> tuple[Tensor, int]:
    """Return the samples ``(T,)``, clamped, and the rate of a sound."""
    rate = media.meta.get("sample_rate", 0)
    return checked_wave(media.tensor(), rate, where)[0].clamp(-1, 1), round(rate)
