"""Tiny forms of the plugin's decoders, for ``anyloom plugins check`` and the tests."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Final

import torch

from anyloom.conversation import Media
from anyloom.testing import DecoderCase, RepresentationCase

__all__ = ["CLIP", "PICTURE", "SOUND", "clip", "edit", "picture", "sound"]

PICTURE: Final[dict[str, Any]] = {
    "space": "tiny",
    "dim": 8,
    "picture_size": 16,
    "autoencoder": {"block_out_channels": [8, 8], "layers_per_block": 1, "norm_num_groups": 4, "patch": 2},
    "unet": {
        "block_out_channels": [8, 8],
        "layers_per_block": 1,
        "cross_attention_dim": 8,
        "attention_head_dim": 2,
        "norm_num_groups": 4,
    },
}
CLIP: Final[dict[str, Any]] = {**PICTURE, "tokens": 2, "frames": 4}
SOUND: Final[dict[str, Any]] = {
    "space": "tiny",
    "dim": 8,
    "tokens": 2,
    "mel": {"frames": 16, "num_mels": 16, "fft_size": 256, "hop": 64},
    "autoencoder": {"block_out_channels": [8, 8], "layers_per_block": 1, "norm_num_groups": 4},
    "unet": {"block_out_channels": [8, 16], "layers_per_block": 1, "attention_head_dim": 4, "norm_num_groups": 4},
    "lm_dim": 8,
}
SAMPLING: Final = {"denoising_steps": 2, "guidance": 2.0}


def picture(folder: Path) -> DecoderCase:
    """Two pictures of other sizes than its own."""
    del folder
    media = [Media("image", torch.rand(3, 12 + n, 20)) for n in range(2)]
    return DecoderCase("mini-picture", options={**PICTURE, "reference": True}, media=media, sampling=SAMPLING)


def clip(folder: Path) -> DecoderCase:
    """Two clips of other lengths than its own."""
    del folder
    media = [Media("video", torch.rand(3 + 4 * n, 3, 16, 16), meta={"fps": 8.0}) for n in range(2)]
    return DecoderCase("mini-clip", options={**CLIP, "reference": True}, media=media, sampling=SAMPLING)


def sound(folder: Path) -> DecoderCase:
    """Two tones."""
    del folder
    seconds = torch.arange(4000) / 16000
    waves = [0.3 * torch.sin(2 * math.pi * hz * seconds)[None] for hz in (300, 700)]
    media = [Media("audio", wave, meta={"sample_rate": 16000}) for wave in waves]
    return DecoderCase("mini-sound", options=SOUND, media=media, sampling=SAMPLING)


def edit(folder: Path) -> RepresentationCase:
    """Three features as changes of those before."""
    del folder
    compare = {"hidden_dim": 8, "products_dim": 8, "band": 1}
    change = {"hidden_dim": 8, "band": 1, "gated_units": 4}
    return RepresentationCase("edit", options={"compare": compare, "change": change, "relative_to_change": 0.2})
