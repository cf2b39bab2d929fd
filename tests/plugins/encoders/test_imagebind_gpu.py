"""What only an accelerator shows: the published size in half precision."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn import functional as F

from anyloom_imagebind.encoder import ImageBindEncoder

DEVICE = "cuda"
INPUTS: dict[str, tuple[int, ...]] = {"image": (2, 3, 224, 224), "audio": (1, 3, 1, 128, 204), "text": (2, 77)}


def huge(**options: Any) -> ImageBindEncoder:
    with torch.device(DEVICE):
        return ImageBindEncoder.from_options(modalities=list(INPUTS), **options).eval()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an accelerator")
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_the_published_size_in_half_precision_agrees_with_float32(dtype: str) -> None:
    full, half = huge(), huge(dtype=dtype)
    half.network.load_state_dict(full.network.state_dict())
    for modality, shape in INPUTS.items():
        inputs = torch.randint(0, 49408, shape) if modality == "text" else torch.randn(shape)
        with torch.no_grad():
            expected, found = (e(inputs.to(DEVICE), modality)[:, 0] for e in (full, half))
        assert F.cosine_similarity(found, expected).min() > 0.99
