"""From a waveform to the decoder's normalised log-mel, and back."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from anyloom.errors import MediaError
from anyloom.signal.mel import griffin_lim, mel_filters, mel_to_magnitude, spectrogram
from anyloom_audioldm2.config import MelOptions

__all__ = ["filters", "log_mel", "to_wave"]


def filters(mel: MelOptions) -> Tensor:
    """The mel filters ``(num_mels, fft_size // 2 + 1)`` of these options."""
    return mel_filters(mel.num_mels, mel.fft_size, mel.sample_rate, mel.low, mel.high, mel.mel_scale)


def log_mel(wave: Tensor, sample_rate: float, mel: MelOptions) -> Tensor:
    """Return ``(1, frames, num_mels)``, normalised, of a sound ``(1, T)``; several channels are averaged.

    Raises:
        anyloom.errors.MediaError: The sample rate or the shape is another one.
    """
    if int(sample_rate) != mel.sample_rate:
        raise MediaError(
            f"the sound has {sample_rate:g} samples per second, the decoder needs {mel.sample_rate}",
            fix="resample it when reading",
        )
    if wave.ndim != 2 or wave.shape[1] == 0:
        raise MediaError(f"a sound is a tensor (1, T), got {tuple(wave.shape)}")
    samples = mel.frames * mel.hop
    mono = wave.float().mean(0)[:samples]
    mono = F.pad(mono, (0, samples - len(mono)))
    bands = filters(mel) @ spectrogram(mono, mel.fft_size, mel.hop).abs()[:, : mel.frames]
    return normalise(bands.clamp(min=mel.floor).log().T[None], mel)


def normalise(values: Tensor, mel: MelOptions) -> Tensor:
    """Bring log-mel values to about [-1, 1]."""
    return (values - mel.centre) / mel.spread


def denormalise(values: Tensor, mel: MelOptions) -> Tensor:
    """Undo :func:`normalise`."""
    return values * mel.spread + mel.centre


def to_wave(values: Tensor, mel: MelOptions, *, seed: int, steps: int = 32) -> Tensor:
    """Return a sound ``(1, frames * hop)`` for normalised log-mel ``(1, frames, num_mels)``, by Griffin-Lim."""
    bands = denormalise(values[0].float(), mel).clamp(max=10.0).exp().T
    bands = torch.where(bands > mel.floor * 1.01, bands, torch.zeros_like(bands))
    bands = torch.cat([bands, bands[:, -1:]], dim=1)
    magnitude = mel_to_magnitude(bands, filters(mel).to(bands.device))
    length = mel.frames * mel.hop
    wave = griffin_lim(magnitude, mel.fft_size, mel.hop, length=length, seed=seed, steps=steps)
    return wave.clamp(-1, 1)[None].cpu()
