"""Tiny form of the decoder, for ``anyloom plugins check`` and the tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import torch

from anyloom.conversation import Media
from anyloom.testing import DecoderCase

__all__ = ["TINY", "decoder"]

TINY: Final[dict[str, Any]] = {
    "space": "tiny",
    "dim": 8,
    "picture_size": 16,
    "context_tokens": 1,
    "autoencoder": {"block_out_channels": [8, 8], "layers_per_block": 1, "norm_num_groups": 4},
    "unet": {
        "block_out_channels": [8, 8],
        "layers_per_block": 1,
        "cross_attention_dim": 8,
        "attention_head_dim": 2,
        "norm_num_groups": 4,
    },
}
SAMPLING: Final = {"denoising_steps": 2, "guidance": 2.0}


def decoder(folder: Path) -> DecoderCase:
    """Two pictures of other sizes than its own."""
    del folder
    pictures = [Media("image", torch.rand(3, 12 + n, 20)) for n in range(2)]
    return DecoderCase("sd-unclip", options=TINY, media=pictures, sampling=SAMPLING)
