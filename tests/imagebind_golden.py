"""What the tests of the ImageBind encoder share: the tiny reference model and a vocabulary excerpt."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

from anyloom_imagebind.encoder import ImageBindEncoder

GOLDEN = Path(__file__).parent / "golden"
VOCABULARY = GOLDEN / "clip_bpe_excerpt"
TOWER_NAMES = ("vision", "text", "audio", "depth", "thermal", "imu")
SMALL = {"width": 8, "blocks": 1, "heads": 2}
OWN_SIZES: dict[str, Any] = {"dim": 8, "vocabulary": 64, **dict.fromkeys(TOWER_NAMES, SMALL)}


@functools.cache
def upstream_options() -> dict[str, int]:
    """Keyword arguments of the published class that made the reference."""
    with safe_open(GOLDEN / "imagebind_tiny.safetensors", "pt") as file:
        return json.loads(file.metadata()["config"])


def tiny_sizes() -> dict[str, Any]:
    old = upstream_options()
    keys = {"width": "embed_dim", "blocks": "num_blocks", "heads": "num_heads"}
    towers = {name: {new: old[f"{name}_{key}"] for new, key in keys.items()} for name in TOWER_NAMES}
    return {"dim": old["out_embed_dim"], **towers}


def golden(kind: str) -> dict[str, Tensor]:
    """Tensors of ``state_dict``, ``outputs`` or ``inputs``, the last as values."""
    file = "imagebind_tiny_inputs.safetensors" if kind == "inputs" else "imagebind_tiny.safetensors"
    found = {k.removeprefix(f"{kind}/"): v for k, v in load_file(GOLDEN / file).items() if k.startswith(f"{kind}/")}
    if kind != "inputs":
        return found
    return {k: v.long() if v.dtype == torch.int32 else v.float() / 24 for k, v in found.items()}


def tiny_encoder(**options: Any) -> ImageBindEncoder:
    """The reference model with its weights."""
    encoder = ImageBindEncoder.from_options(size=tiny_sizes(), **options)
    own = encoder.network.state_dict()
    encoder.network.load_state_dict({k: v for k, v in golden("state_dict").items() if k in own})
    return encoder.eval()
