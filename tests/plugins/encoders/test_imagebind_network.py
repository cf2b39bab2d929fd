"""The network against the published layout and against the published code's numbers on tiny weights."""

from __future__ import annotations

import json
import math

import pytest
import torch
from torch.nn import functional as F

from anyloom_imagebind.network import ImageBindNetwork, published_layout
from imagebind_golden import GOLDEN, golden, tiny_encoder

CASES = {
    "vision_image": "image",
    "vision_video": "video",
    "text": "text",
    "audio": "audio",
    "audio_clips": "audio",
    "depth": "depth",
    "thermal": "thermal",
    "imu": "imu",
}


def test_keys_shapes_and_types_are_those_of_the_published_checkpoint() -> None:
    published = json.loads((GOLDEN / "imagebind_huge_layout.json").read_text())
    with torch.device("meta"):
        own = ImageBindNetwork().state_dict()
    assert {k: [list(v.shape), str(v.dtype)] for k, v in own.items()} == published


def test_the_huge_size_has_1200_million_parameters() -> None:
    with torch.device("meta"):
        network = ImageBindNetwork()
    assert sum(p.numel() for p in network.parameters()) == pytest.approx(1200.8e6, rel=1e-4)
    assert sum(math.prod(shape) for shape in published_layout().values()) == 1_200_786_990


def test_only_the_scale_of_text_is_learnt() -> None:
    with torch.device("meta"):
        learnt = [k for k, _ in ImageBindNetwork().named_parameters() if "logit_scale" in k]
    assert learnt == ["modality_postprocessors.text.1.log_logit_scale"]


@pytest.mark.parametrize("case", CASES)
def test_outputs_equal_those_of_the_published_code(case: str) -> None:
    encoder = tiny_encoder(normalise="upstream")
    with torch.no_grad():
        features = encoder(golden("inputs")[case], CASES[case])
    expected = golden("outputs")[case].unsqueeze(1)
    torch.testing.assert_close(features, expected, atol=1e-5, rtol=0)


def test_raw_features_are_those_before_normalising() -> None:
    inputs, expected = golden("inputs")["vision_image"], golden("outputs")["vision_image"]
    with torch.no_grad():
        raw = tiny_encoder(normalise="raw")(inputs, "image")[:, 0]
    assert (raw.norm(dim=-1) - 1).abs().min() > 0.01
    torch.testing.assert_close(F.normalize(raw, dim=-1), expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("case", ["vision_video", "audio_clips"])
def test_raw_features_of_clips_are_the_mean_over_single_clips(case: str) -> None:
    encoder, inputs = tiny_encoder(normalise="raw"), golden("inputs")[case]
    with torch.no_grad():
        together = encoder(inputs, CASES[case])
        single = torch.stack([encoder(clip[None, None], CASES[case])[0] for clip in inputs[0]])
    torch.testing.assert_close(together[0], single.mean(0), atol=1e-6, rtol=0)


@pytest.mark.parametrize("case", CASES)
def test_unit_features_have_length_one_and_the_published_direction(case: str) -> None:
    with torch.no_grad():
        unit = tiny_encoder(normalise="unit")(golden("inputs")[case], CASES[case])[:, 0]
    torch.testing.assert_close(unit.norm(dim=-1), torch.ones(len(unit)))
    torch.testing.assert_close(unit, F.normalize(golden("outputs")[case], dim=-1), atol=1e-6, rtol=0)


@pytest.mark.parametrize("case", ["vision_image", "audio_clips", "depth", "thermal", "imu"])
def test_the_first_token_of_each_clip_is_its_pooled_feature(case: str) -> None:
    inputs, modality = golden("inputs")[case], CASES[case]
    with torch.no_grad():
        pooled = tiny_encoder()(inputs, modality)
        tokens = tiny_encoder(features="tokens")(inputs, modality)
    clips = inputs.shape[1] if inputs.ndim == 5 else 1
    first = tokens.unflatten(1, (clips, -1))[:, :, 0].mean(1, keepdim=True)
    torch.testing.assert_close(first, pooled, atol=1e-6, rtol=0)


def test_the_text_token_at_the_end_of_text_is_the_pooled_feature() -> None:
    ids = golden("inputs")["text"]
    with torch.no_grad():
        pooled, tokens = tiny_encoder()(ids, "text"), tiny_encoder(features="tokens")(ids, "text")
    assert tokens.shape == (2, 77, 32)
    torch.testing.assert_close(tokens[torch.arange(2), ids.argmax(-1)], pooled[:, 0], atol=1e-6, rtol=0)


def test_text_after_a_position_does_not_change_the_token_there() -> None:
    encoder, ids = tiny_encoder(features="tokens"), golden("inputs")["text"][:1]
    other = ids.clone()
    other[:, 40:] = 7
    with torch.no_grad():
        torch.testing.assert_close(encoder(ids, "text")[:, :40], encoder(other, "text")[:, :40])


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_lower_precision_gives_nearly_the_same_features_in_float32(dtype: str) -> None:
    encoder = tiny_encoder(normalise="upstream", dtype=dtype)
    assert encoder.network.modality_heads["vision"]["2"].weight.dtype == getattr(torch, dtype)
    for case in ("vision_image", "text", "audio"):
        with torch.no_grad():
            features = encoder(golden("inputs")[case], CASES[case])[:, 0]
        assert features.dtype == torch.float32
        expected = golden("outputs")[case]
        assert F.cosine_similarity(features, expected).min() > 0.995
        torch.testing.assert_close(features.norm(dim=-1), expected.norm(dim=-1), rtol=1e-5, atol=0)


def test_features_carry_gradient_to_the_parameters_when_not_frozen() -> None:
    encoder = tiny_encoder(freeze=False, modalities=["audio"])
    encoder(golden("inputs")["audio"], "audio").square().sum().backward()
    lacking = [k for k, p in encoder.network.named_parameters() if p.grad is None or not p.grad.any()]
    assert lacking == []
