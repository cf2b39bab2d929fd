"""The tiny form of the decoder, for ``anyloom plugins check`` and the tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import torch

from anyloom.conversation import Media
from anyloom.testing import DecoderCase

__all__ = ["TINY", "case"]

TINY: Final[dict[str, Any]] = {
    "space": "tiny",
    "dim": 8,
    "tokens": 2,
    "prediction": "v_prediction",
    "clip": {"frames": 3, "fps": 8.0, "height": 8, "width": 12},
    "autoencoder": {"block_out_channels": [8, 8], "layers_per_block": 1, "norm_num_groups": 4},
    "unet": {"block_out_channels": [8, 16], "layers_per_block": 1, "attention_head_dim": 4, "norm_num_groups": 4},
    "schedule": {"beta_schedule": "squaredcos_cap_v2", "timestep_spacing": "trailing"},
    "frames_at_once": 2,
}
SAMPLING: Final = {"denoising_steps": 2, "guidance": 2.0}


def case(folder: Path) -> DecoderCase:
    """zeroscope on two clips of other lengths than its own."""
    del folder
    clips = [Media("video", torch.rand(2 + 4 * n, 3, 8, 12), meta={"fps": 8.0}) for n in range(2)]
    return DecoderCase("zeroscope", options={**TINY, "reference": True}, media=clips, sampling=SAMPLING)
