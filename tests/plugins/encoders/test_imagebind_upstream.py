"""A further check against the published package, where it and what it needs are installed."""

from __future__ import annotations

import pytest
import torch

from anyloom_imagebind.encoder import ImageBindEncoder
from imagebind_golden import golden, tiny_sizes, upstream_options

MODALITIES = {"vision": "image", "text": "text", "audio": "audio", "depth": "depth", "thermal": "thermal", "imu": "imu"}
CASES = {"vision": "vision_image"}


@pytest.mark.parametrize("key", MODALITIES)
def test_fresh_weights_of_the_published_class_give_the_same_features(key: str) -> None:
    published = pytest.importorskip("imagebind.models.imagebind_model", exc_type=ImportError)
    theirs = published.ImageBindModel(**upstream_options()).eval()
    ours = ImageBindEncoder.from_options(size=tiny_sizes(), normalise="upstream").eval()
    ours.network.load_state_dict(theirs.state_dict())
    inputs = golden("inputs")[CASES.get(key, key)]
    with torch.no_grad():
        expected = theirs({key: inputs})[key]
        torch.testing.assert_close(ours(inputs, MODALITIES[key])[:, 0], expected, atol=1e-5, rtol=0)
