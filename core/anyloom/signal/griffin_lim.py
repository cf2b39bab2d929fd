"""From magnitudes of a short-time spectrum to a waveform.

The transforms are those of ``torch.stft`` and ``torch.istft`` (Hann window, centred, reflected), with what does not
change from one iteration to the next made once; three iterations take the time of one of theirs on a CPU.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["griffin_lim"]


@torch.no_grad()
def griffin_lim(
    magnitude: Tensor, fft_size: int, hop: int, *, length: int, seed: int = 0, steps: int = 32, momentum: float = 0.99
) -> Tensor:
    """Waveform ``(length,)`` whose spectrum has about the magnitudes ``(F, T)``; no gradient goes through.

    Fast Griffin-Lim (Perraudin, Balazs and Sondergaard, WASPAA 2013), from random phases.

    Args:
        magnitude: Non-negative; as many frames as :func:`anyloom.signal.mel.spectrogram` gives for ``length`` samples.
        fft_size: Samples per transform.
        hop: Samples between frames, fewer than ``fft_size``.
        length: Samples to return, more than ``fft_size // 2``.
        seed: Seed of the phases.
        steps: Iterations.
        momentum: Acceleration; 0 is plain Griffin-Lim.

    >>> from anyloom.signal.mel import spectrogram
    >>> tone = torch.sin(torch.arange(256) * 2 * torch.pi * 8 / 64)
    >>> magnitude = spectrogram(tone, fft_size=64, hop=16).abs()
    >>> found = griffin_lim(magnitude, fft_size=64, hop=16, length=256)
    >>> spectrogram(found, fft_size=64, hop=16).abs().mean(-1).argmax().item()
    8
    """
    transform = _Transform(fft_size, hop, length, magnitude)
    phases = torch.rand(magnitude.shape, generator=torch.Generator().manual_seed(seed)).to(magnitude)
    goal = magnitude.mT.contiguous()
    spectrum = torch.polar(goal, 2 * math.pi * phases.mT.contiguous())
    before: Tensor | None = None
    for _ in range(steps):
        rebuilt = transform.spectrum(transform.waveform(spectrum))
        ahead = rebuilt if before is None else torch.add(rebuilt, before, alpha=-momentum / (1 + momentum))
        before = rebuilt
        # |z| from its parts: the absolute value of complex numbers takes three times as long
        square = torch.addcmul(ahead.real.square(), ahead.imag, ahead.imag)
        spectrum = ahead * square.clamp_(min=1e-32).rsqrt_().mul_(goal)
    return transform.waveform(spectrum)


class _Transform:
    """Short-time Fourier transform and its inverse, frames first ``(T, F)``, for waves of one length."""

    def __init__(self, fft_size: int, hop: int, length: int, like: Tensor) -> None:
        self.fft_size, self.hop, self.length, self.frames = fft_size, hop, length, like.shape[-1]
        self.half = fft_size // 2
        self.window = torch.hann_window(fft_size, dtype=like.dtype, device=like.device)
        self.envelope = self._overlap((self.window**2).expand(self.frames, fft_size))

    def spectrum(self, wave: Tensor) -> Tensor:
        """Complex ``(T, F)`` of a wave ``(length,)``."""
        padded = F.pad(wave[None], (self.half, self.half), mode="reflect")[0]
        spectrum: Tensor = torch.fft.rfft(padded.unfold(-1, self.fft_size, self.hop) * self.window)
        return spectrum

    def waveform(self, spectrum: Tensor) -> Tensor:
        """The wave ``(length,)`` whose windowed frames are nearest to those of a spectrum ``(T, F)``."""
        return self._overlap(torch.fft.irfft(spectrum, self.fft_size).mul_(self.window)) / self.envelope

    def _overlap(self, frames: Tensor) -> Tensor:
        """Frames ``(T, fft_size)`` added up where they belong, and cut to ``(length,)``.

        Each frame is cut into pieces of ``hop`` samples: the pieces of one rank lie side by side in the sum, so a sum
        takes as many additions as frames overlap, whatever their number.
        """
        pieces = math.ceil(self.fft_size / self.hop)
        total = frames.new_zeros(self.frames + pieces - 1, self.hop)
        for rank in range(pieces):
            piece = frames[:, rank * self.hop : (rank + 1) * self.hop]
            total[rank : rank + self.frames, : piece.shape[1]] += piece
        return total.flatten()[self.half : self.half + self.length]
