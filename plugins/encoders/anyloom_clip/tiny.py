"""Tiny forms of both encoders, for ``anyloom plugins check`` and the tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import torch

from anyloom.conversation import Media
from anyloom.testing import EncoderCase

__all__ = ["CLAP", "CLIP", "clap", "clip"]

CLIP: Final[dict[str, Any]] = {
    "architecture": {
        "hidden_size": 16,
        "intermediate_size": 32,
        "projection_dim": 6,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": 16,
        "patch_size": 8,
    }
}
CLAP: Final[dict[str, Any]] = {
    "architecture": {
        "window_size": 4,
        "num_mel_bins": 16,
        "spec_size": 64,
        "depths": [1, 1],
        "num_attention_heads": [2, 2],
        "patch_embeds_hidden_size": 8,
        "projection_dim": 6,
    },
    "preparation": {"sample_rate": 16000, "seconds": 1, "hop": 80, "high": 7000},
}


def clip(folder: Path) -> EncoderCase:
    """CLIP on pictures of several sizes."""
    del folder
    return EncoderCase("clip", options=CLIP, media=[Media("image", torch.rand(3, 9 + n, 20)) for n in range(3)])


def clap(folder: Path) -> EncoderCase:
    """CLAP on sounds of several lengths and rates."""
    del folder
    waves = [torch.randn(1, 6000 * (n + 1)) * 0.1 for n in range(3)]
    sounds = [Media("audio", w, meta={"sample_rate": 8000.0 * (n + 1)}) for n, w in enumerate(waves)]
    return EncoderCase("clap", options=CLAP, media=sounds)
