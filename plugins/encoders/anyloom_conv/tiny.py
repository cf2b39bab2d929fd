"""Tiny forms of the encoder and its stage, for ``anyloom plugins check`` and the tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import torch

from anyloom.conversation import Conversation, Media, Message
from anyloom.interfaces import Sample
from anyloom.testing import EncoderCase, ModuleCase

__all__ = ["TINY", "encoder", "stage"]

TINY: Final[dict[str, Any]] = {"size": 16, "grid": 8, "layout_dim": 24, "meaning_dim": 4, "widths": [8, 8]}
_CAPTIONS: Final = ("a red heart", "a blue heart", "a green leaf", "a yellow star")


def _picture(seed: int) -> Media:
    return Media("image", torch.rand(3, 20, 20, generator=torch.Generator().manual_seed(seed)))


def encoder(folder: Path) -> EncoderCase:
    """The encoder of pictures."""
    del folder
    return EncoderCase("conv", options=TINY, media=[_picture(n) for n in range(3)])


def stage(folder: Path) -> ModuleCase:
    """Its training stage on four captions."""
    del folder
    samples = [
        Sample(Conversation([Message("user", [_picture(n)]), Message("assistant", text)]), "caption")
        for n, text in enumerate(_CAPTIONS)
    ]
    options = {"encoder": {"name": "conv", **TINY}, "words": 32, "statistics": 2}
    return ModuleCase("conv-encoder", options=options, samples=samples)
