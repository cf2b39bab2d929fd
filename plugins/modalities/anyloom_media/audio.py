"""Sounds: ``(1, T)`` mono float32 in -1..1 with the sample rate in ``meta``."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import ClassVar, Final

import soundfile
import soxr
import torch
from torch import Tensor

from anyloom.conversation.segments import Media
from anyloom.errors import MediaError
from anyloom.interfaces.modality import ModalityIO
from anyloom_media.files import data_uri, require_file, require_suffix, unreadable
from anyloom_media.image import picture_tag
from anyloom_media.integrity import missing_part
from anyloom_media.spectrogram import log_mel_picture

__all__ = ["AudioIO", "resample"]

_FORMATS: Final = {
    ".wav": ("WAV", "PCM_16"),
    ".flac": ("FLAC", "PCM_24"),
    ".ogg": ("OGG", "VORBIS"),
    ".mp3": ("MP3", None),
}
_DRAWN_RATE: Final = 16000


class AudioIO(ModalityIO):
    """Reads and writes sounds. ``meta["sample_rate"]`` is in Hz.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     sound = Media("audio", torch.zeros(1, 100), meta={"sample_rate": 16000})
    ...     AudioIO.from_options().read(AudioIO.from_options().write(sound, Path(folder, "a.wav"))).meta
    {'sample_rate': 16000}
    """

    modality: ClassVar[str] = "audio"
    suffixes: ClassVar[tuple[str, ...]] = tuple(_FORMATS)

    def read(self, path: Path) -> Media:
        """Read a sound as float32 ``(1, T)`` at the rate of the file; channels are averaged.

        Raises:
            anyloom.errors.MediaError: The file is missing, truncated, holds no samples or no sound.
        """
        require_file(path)
        try:
            with soundfile.SoundFile(path) as file:
                samples = file.read(dtype="float32", always_2d=True)
                expected, rate = file.frames, file.samplerate
        except (soundfile.SoundFileError, RuntimeError, ValueError) as error:
            raise unreadable(path, self.modality, error) from error
        lack = missing_part(path) or ("it holds no samples" if not len(samples) else "")
        if lack or len(samples) != expected:
            raise unreadable(path, self.modality, lack or f"{len(samples)} of {expected} samples are there")
        mono = torch.from_numpy(samples).mean(1).unsqueeze(0)
        return Media(self.modality, mono, path=str(path), meta={"sample_rate": rate})

    def read_meta(self, path: Path) -> Mapping[str, float]:
        """Read the sample rate from the header.

        Raises:
            anyloom.errors.MediaError: The file is missing or no sound.
        """
        require_file(path)
        try:
            return {"sample_rate": soundfile.info(path).samplerate}
        except (soundfile.SoundFileError, RuntimeError, ValueError) as error:
            raise unreadable(path, self.modality, error) from error

    def write(self, media: Media, path: Path) -> Path:
        """Write a sound, clamped to -1..1: WAV with 16 bits, FLAC with 24, Ogg Vorbis or MP3.

        Raises:
            anyloom.errors.MediaError: The tensor is no sound, its rate is unknown or not one of the format's.
        """
        kind, subtype = _FORMATS[require_suffix(path, self.suffixes, self.modality)]
        samples, rate = _checked(media, str(path))
        try:
            soundfile.write(path, samples.numpy(), rate, format=kind, subtype=subtype)
        except (soundfile.SoundFileError, RuntimeError, ValueError) as error:
            what = f"cannot write {rate} Hz as {kind}: {error}"
            raise MediaError(what, where=str(path), fix="resample it, or write .wav") from error
        return path

    def to_html(self, media: Media) -> str:
        """Return a player with a small log-mel spectrogram under it."""
        samples, rate = _checked(media, "to_html")
        buffer = io.BytesIO()
        soundfile.write(buffer, samples.numpy(), rate, format="WAV", subtype="PCM_16")
        drawn = _at_rate(samples, rate, _DRAWN_RATE) if rate > _DRAWN_RATE else samples
        seconds = f"{len(samples) / rate:.1f} s"
        picture = picture_tag(log_mel_picture(drawn, min(rate, _DRAWN_RATE)), f"spectrogram, {seconds}")
        player = f'<audio controls src="{data_uri("audio/wav", buffer.getvalue())}" title="{seconds}"></audio>'
        return f"<div>{player}<br>{picture}</div>"


def resample(media: Media, sample_rate: int) -> Media:
    """Return a sound at another sample rate in Hz; its length in seconds stays.

    Raises:
        anyloom.errors.MediaError: The tensor is no sound or its rate is unknown.

    >>> resample(Media("audio", torch.zeros(1, 441), meta={"sample_rate": 44100}), 16000).tensor().shape
    torch.Size([1, 160])
    """
    samples, rate = _checked(media, media.path or "resample")
    data = _at_rate(samples, rate, sample_rate).unsqueeze(0)
    return replace(media, data=data, loader=None, meta={**media.meta, "sample_rate": sample_rate})


def _at_rate(samples: Tensor, rate: int, wanted: int) -> Tensor:
    """Resample ``(T,)`` with soxr."""
    return samples if rate == wanted else torch.from_numpy(soxr.resample(samples.numpy(), rate, wanted))


def _checked(media: Media, where: str) -> tuple[Tensor, int]:
    """Return the samples ``(T,)``, clamped, and the rate of a sound."""
    data, rate = media.tensor().detach().cpu(), media.meta.get("sample_rate", 0)
    if data.ndim != 2 or data.shape[0] != 1 or not data.shape[1] or not data.is_floating_point():
        raise MediaError(f"expected a float tensor (1, T), got {data.dtype} {tuple(data.shape)}", where=where)
    if rate <= 0:
        raise MediaError("the sample rate is unknown", where=where, fix="give meta={'sample_rate': ...} in Hz")
    if not torch.isfinite(data).all():
        raise MediaError("the tensor holds NaN or infinite values", where=where)
    return data[0].float().clamp(-1, 1), round(rate)
