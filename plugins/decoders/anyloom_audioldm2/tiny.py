"""Tiny form of the decoder, for ``anyloom plugins check`` and the tests."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Final

import torch

from anyloom.conversation import Media
from anyloom.testing import DecoderCase

__all__ = ["TINY", "decoder"]

TINY: Final[dict[str, Any]] = {
    "space": "tiny",
    "dim": 8,
    "tokens": 2,
    "mel": {"frames": 16, "num_mels": 16, "fft_size": 256, "hop": 64},
    "autoencoder": {"block_out_channels": [8, 8], "layers_per_block": 1, "norm_num_groups": 4},
    "unet": {"block_out_channels": [8, 16], "layers_per_block": 1, "attention_head_dim": 4, "norm_num_groups": 4},
    "lm_tokens": 2,
    "lm_dim": 8,
}
SAMPLING: Final = {"denoising_steps": 2, "guidance": 2.0}


def decoder(folder: Path) -> DecoderCase:
    """Two tones."""
    del folder
    seconds = torch.arange(4000) / 16000
    waves = [0.3 * torch.sin(2 * math.pi * hz * seconds)[None] for hz in (300, 700)]
    sounds = [Media("audio", wave, meta={"sample_rate": 16000}) for wave in waves]
    return DecoderCase("audioldm2", options={**TINY, "reference": True}, media=sounds, sampling=SAMPLING)
