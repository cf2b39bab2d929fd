"""Tiny form of the encoder, for ``anyloom plugins check`` and the tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import torch

from anyloom.conversation import Media
from anyloom.testing import EncoderCase
from anyloom_imagebind.config import TOWERS

__all__ = ["TINY", "encoder"]

_SMALL: Final = {"width": 8, "blocks": 1, "heads": 2}
TINY: Final[dict[str, Any]] = {
    "size": {"dim": 8, "vocabulary": 64, **dict.fromkeys(TOWERS.values(), _SMALL)},
    "modalities": ["image", "audio"],
    "audio_clips": 2,
}


def encoder(folder: Path) -> EncoderCase:
    """Pictures and sounds; the other modalities go the same way."""
    del folder
    pictures = [Media("image", torch.rand(3, 30 + 10 * n, 40)) for n in range(2)]
    sounds = [Media("audio", 0.1 * torch.randn(1, 16000 * (n + 1)), meta={"sample_rate": 16000}) for n in range(2)]
    return EncoderCase("imagebind", options=TINY, media=[*pictures, *sounds])
