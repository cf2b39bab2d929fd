"""From a waveform to the log-mel spectrogram that decoders diffuse over, and back."""

from __future__ import annotations

import torch
from pydantic import PositiveFloat, PositiveInt, model_validator
from torch import Tensor
from torch.nn import functional as F

from anyloom.conversation.segments import Media
from anyloom.conversation.waves import warn_of_rest
from anyloom.errors import MediaError
from anyloom.interfaces.component import ComponentConfig
from anyloom.options import WrongOptionsError
from anyloom.signal.griffin_lim import griffin_lim
from anyloom.signal.mel import MelScale, mel_filters, mel_inverse, mel_to_magnitude, spectrogram

__all__ = ["MelOptions", "filters", "log_mel", "sound_to_log_mel", "to_wave"]


class MelOptions(ComponentConfig):
    """The log-mel spectrogram that stands for a sound: natural logarithm of mel magnitudes.

    Args:
        sample_rate: Samples per second.
        fft_size: Samples per transform and window.
        hop: Samples between frames, fewer than ``fft_size``.
        num_mels: Bands.
        low: Lower edge of the bands, in Hz.
        high: Upper edge, in Hz; by default half the sample rate.
        mel_scale: ``slaney`` or ``htk``.
        frames: Frames of one sound; longer ones are cut, shorter ones padded with silence.
        floor: Magnitudes below this are silence.
    """

    sample_rate: PositiveInt = 16000
    fft_size: PositiveInt = 1024
    hop: PositiveInt = 160
    num_mels: PositiveInt = 64
    low: float = 0.0
    high: float | None = None
    mel_scale: MelScale = "slaney"
    frames: PositiveInt = 1000
    floor: PositiveFloat = 1e-5

    @model_validator(mode="after")
    def _frames_overlap(self) -> MelOptions:
        if self.hop >= self.fft_size:
            raise WrongOptionsError(
                {"hop": f"must be smaller than fft_size ({self.fft_size}), so that neighbouring frames overlap"}
            )
        half = self.fft_size // 2
        if self.frames * self.hop <= half:
            raise WrongOptionsError(
                {"frames": f"{self.frames} of {self.hop} samples are no longer than half a transform ({half})"}
            )
        return self


def filters(mel: MelOptions) -> Tensor:
    """The mel filters ``(num_mels, fft_size // 2 + 1)`` of these options."""
    return mel_filters(*_sizes(mel))


def _sizes(mel: MelOptions) -> tuple[int, int, int, float, float | None, MelScale]:
    return mel.num_mels, mel.fft_size, mel.sample_rate, mel.low, mel.high, mel.mel_scale


def log_mel(wave: Tensor, sample_rate: float, mel: MelOptions) -> Tensor:
    """Return log-mel ``(1, frames, num_mels)`` of a sound ``(1, T)``; several channels are averaged.

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
    return bands.clamp(min=mel.floor).log().T[None]


def sound_to_log_mel(media: Media, mel: MelOptions) -> Tensor:
    """Return a sound as log-mel ``(1, frames, num_mels)``, cut or padded to that length.

    Raises:
        anyloom.errors.MediaError: The sample rate is unknown or not the decoder's, or it is no sound.
    """
    if "sample_rate" not in media.meta:
        raise MediaError("this sound has no sample rate", where=media.path, fix='set meta["sample_rate"]')
    wave, rate = media.tensor(), media.meta["sample_rate"]
    warn_of_rest(wave, rate, mel.frames * mel.hop / mel.sample_rate, "made")
    return log_mel(wave, rate, mel)


def to_wave(values: Tensor, mel: MelOptions, *, seed: int, steps: int = 32) -> Tensor:
    """Return a sound ``(1, frames * hop)`` for log-mel ``(1, frames, num_mels)``, by Griffin-Lim."""
    bands = values[0].float().clamp(max=10.0).exp().T
    bands = torch.where(bands > mel.floor * 1.01, bands, torch.zeros_like(bands))
    bands = torch.cat([bands, bands[:, -1:]], dim=1)
    magnitude = mel_to_magnitude(
        bands, filters(mel).to(bands.device), inverse=mel_inverse(*_sizes(mel)).to(bands.device)
    )
    length = mel.frames * mel.hop
    wave = griffin_lim(magnitude, mel.fft_size, mel.hop, length=length, seed=seed, steps=steps)
    return wave.clamp(-1, 1)[None].cpu()
