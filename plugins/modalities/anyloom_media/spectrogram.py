"""A small log-mel picture of a sound, to look at beside the player."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

__all__ = ["log_mel_picture"]

_WINDOW: Final = 512
_RANGE_DB: Final = 70.0
_COLOURS: Final = ((0.02, 0.02, 0.08), (0.25, 0.05, 0.42), (0.72, 0.17, 0.40), (0.98, 0.55, 0.20), (0.99, 0.98, 0.75))
"""From quiet to loud; even steps of lightness, so that it reads in grey too."""


def log_mel_picture(samples: Tensor, sample_rate: int, *, bands: int = 64, columns: int = 320) -> Tensor:
    """Draw a sound: time to the right, frequency upwards on the mel scale, loudness as lightness.

    Args:
        samples: ``(T,)`` mono.
        sample_rate: In Hz.
        bands: Mel bands, the height of the picture.
        columns: Greatest width of the picture; a long sound is drawn with longer steps.

    Returns:
        Picture ``(3, bands, W)``, float32 in 0..1, W at most ``columns``.

    >>> log_mel_picture(torch.zeros(16_000), 16_000, bands=32).shape
    torch.Size([3, 32, 126])
    """
    hop = max(_WINDOW // 4, -(-len(samples) // columns))
    padded = torch.nn.functional.pad(samples, (0, max(_WINDOW - len(samples), 0)))
    window = torch.hann_window(_WINDOW)
    spectrum = (
        torch.stft(padded, _WINDOW, hop, window=window, pad_mode="constant", center=True, return_complex=True).abs()
        ** 2
    )
    level = 10 * torch.log10(_mel_filters(bands, sample_rate) @ spectrum + 1e-10)
    shade = ((level - level.max()) / _RANGE_DB + 1).clamp(0, 1) if level.max() > -90 else torch.zeros_like(level)
    return _coloured(shade.flip(0)[:, :columns])


def _mel_filters(bands: int, sample_rate: int) -> Tensor:
    """Triangles ``(bands, _WINDOW // 2 + 1)`` evenly spaced on the mel scale from 0 Hz to half the sample rate."""
    highest = 2595 * torch.log10(torch.tensor(1 + sample_rate / 2 / 700))
    edges = 700 * (10 ** (torch.linspace(0, float(highest), bands + 2) / 2595) - 1)
    # A band narrower than the distance between two bins would be empty: widen it to reach the next bin.
    width = torch.clamp(edges.diff(), min=sample_rate / _WINDOW)
    bins = torch.linspace(0, sample_rate / 2, _WINDOW // 2 + 1)
    centre = edges[1:-1, None]
    return torch.clamp(1 - (bins - centre).abs() / torch.where(bins < centre, width[:-1, None], width[1:, None]), min=0)


def _coloured(shade: Tensor) -> Tensor:
    """Map values ``(H, W)`` in 0..1 to colours ``(3, H, W)``, linear between the stops."""
    stops = torch.tensor(_COLOURS)
    position = shade * (len(stops) - 1)
    low = position.floor().long().clamp(max=len(stops) - 2)
    part = (position - low).unsqueeze(-1)
    return (stops[low] * (1 - part) + stops[low + 1] * part).permute(2, 0, 1)
