"""Media to try the modalities with, for ``anyloom plugins check`` and the tests."""

from __future__ import annotations

import math
from pathlib import Path

import torch

from anyloom.conversation import Media
from anyloom.testing import ModalityCase

__all__ = ["clips", "pictures", "sounds"]


def pictures(folder: Path) -> ModalityCase:
    """Two pictures; PNG keeps 8 bits."""
    del folder
    media = [Media("image", torch.rand(3, 6, 9)), Media("image", torch.ones(3, 1, 1))]
    return ModalityCase("image", media=media, tolerance=0.51 / 255)


def sounds(folder: Path) -> ModalityCase:
    """Two tones; WAV keeps 16 bits."""
    del folder
    rates = (16000, 44100)
    waves = [0.5 * torch.sin(2 * math.pi * 440 * torch.arange(800) / rate)[None] for rate in rates]
    media = [Media("audio", w, meta={"sample_rate": rate}) for w, rate in zip(waves, rates)]
    return ModalityCase("audio", media=media, tolerance=2**-15)


def clips(folder: Path) -> ModalityCase:
    """A clip that becomes lighter; the MP4 format loses a little."""
    del folder
    shades = torch.linspace(0.2, 0.8, 4).view(4, 1, 1, 1).expand(4, 3, 16, 24)
    return ModalityCase("video", media=[Media("video", shades, meta={"fps": 4})], tolerance=0.03)
