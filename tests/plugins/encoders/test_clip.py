"""CLIP: preprocessing against transformers' own, features, published folders, errors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import CLIPConfig, CLIPModel, CLIPVisionConfig, CLIPVisionModelWithProjection
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from anyloom import build
from anyloom.conversation import Media
from anyloom.errors import CheckpointError, ConfigError, MediaError
from anyloom.sequence.preprocess import Preprocess
from anyloom.testing import EncoderCase, EncoderChecks
from anyloom_clip.clip import CLIPEncoder
from anyloom_clip.tiny import CLIP, clip

SIZES: dict[str, Any] = CLIP["architecture"]
GOLDEN = Path(__file__).parents[2] / "golden" / "clip_preprocess_pil.npz"


def tiny(**more: Any) -> CLIPEncoder:
    return CLIPEncoder.from_options(architecture=SIZES, **more)


def picture(height: int = 20, width: int = 30) -> Media:
    return Media("image", torch.randint(256, (3, height, width), dtype=torch.uint8))


def publish(folder: Path, *, both: bool = True) -> CLIPVisionModelWithProjection:
    """Write a folder as transformers does; the part's own projection width is a wrong leftover, as it often is."""
    if not both:
        alone = CLIPVisionModelWithProjection(CLIPVisionConfig(**SIZES)).eval()
        alone.save_pretrained(folder)
        return alone
    text = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    text |= {"vocab_size": 8, "max_position_embeddings": 4, "bos_token_id": 0, "eos_token_id": 1}
    vision = {**SIZES, "projection_dim": 512}
    whole = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=6)).eval()
    whole.save_pretrained(folder)
    alone = CLIPVisionModelWithProjection(CLIPVisionConfig(**SIZES)).eval()
    alone.load_state_dict({k: v for k, v in whole.state_dict().items() if k.startswith("vis")})
    return alone


class TestConformance(EncoderChecks):
    @pytest.fixture
    def case(self, tmp_path: Path) -> EncoderCase:
        return clip(tmp_path)


def test_preprocessing_is_that_of_the_golden_file() -> None:
    with np.load(GOLDEN, allow_pickle=False) as golden:
        pixels, expected = (torch.from_numpy(golden[k]) for k in ("image_uint8", "clip_pixel_values_stride5"))
    sizes = {**SIZES, "image_size": 224, "patch_size": 56}
    prepared = CLIPEncoder.from_options(architecture=sizes).preprocess(Media("image", pixels.permute(2, 0, 1)))
    torch.testing.assert_close(prepared[:, ::5, ::5], expected.reshape(3, 45, 45), atol=1e-6, rtol=0)


@pytest.mark.parametrize(("height", "width"), [(37, 23), (23, 37), (16, 21), (50, 50), (9, 7), (16, 16)])
@pytest.mark.parametrize("short", [16, 19])
def test_preprocessing_is_that_of_transformers(height: int, width: int, short: int) -> None:
    media = picture(height, width)
    reference = CLIPImageProcessorPil(size={"shortest_edge": short}, crop_size={"height": 16, "width": 16})
    expected = reference(media.tensor().permute(1, 2, 0).numpy(), return_tensors="pt")["pixel_values"][0]
    prepared = tiny(preparation={"short_side": short}).preprocess(media)
    torch.testing.assert_close(prepared, expected, atol=1e-6, rtol=0)


def test_floats_are_prepared_like_their_bytes() -> None:
    media = picture()
    floats = Media("image", media.tensor().float() / 255)
    assert torch.equal(tiny().preprocess(media), tiny().preprocess(floats))


@pytest.mark.parametrize("both", [True, False])
def test_features_of_a_published_folder_are_those_of_transformers(tmp_path: Path, both: bool) -> None:
    reference = publish(tmp_path, both=both)
    encoder = CLIPEncoder.from_options(weights=str(tmp_path))
    assert encoder.feature_space("image").dim == 6
    assert encoder.weight_files() == [tmp_path]
    encoder.load_weights()
    pixels = torch.randn(3, 3, 16, 16)
    with torch.no_grad():
        expected = reference(pixel_values=pixels).image_embeds
    torch.testing.assert_close(encoder(pixels, "image")[:, 0], expected)


def test_tokens_begin_with_the_pooled_feature_and_depend_on_their_patches() -> None:
    torch.manual_seed(1)
    pooled = tiny()
    torch.manual_seed(1)
    tokens = tiny(features="tokens")
    pixels = torch.randn(2, 3, 16, 16)
    features = tokens(pixels, "image")
    space = tokens.feature_space("image")
    assert features.shape[1:] == (space.tokens, space.dim) == (5, 6)
    assert (space.name, pooled.feature_space("image").name) == ("clip-tokens", "clip")
    torch.testing.assert_close(features[:, :1], pooled(pixels, "image"))
    assert not torch.allclose(features[:, 1], features[:, 2])


def test_unit_features_have_length_one_and_the_direction_of_raw_ones() -> None:
    torch.manual_seed(1)
    raw = tiny(features="tokens")
    torch.manual_seed(1)
    unit = tiny(features="tokens", normalise="unit")
    pixels = torch.randn(2, 3, 16, 16)
    assert unit.feature_space("image").scale == "unit"
    before, after = raw(pixels, "image"), unit(pixels, "image")
    torch.testing.assert_close(after.norm(dim=-1), torch.ones(2, 5))
    torch.testing.assert_close(torch.cosine_similarity(before, after, dim=-1), torch.ones(2, 5))


def test_frozen_encoders_stay_in_evaluation_mode_and_others_get_gradient() -> None:
    frozen = tiny().train()
    assert not any(m.training for m in frozen.modules())
    assert not any(p.requires_grad for p in frozen.parameters())
    free = tiny(freeze=False).train()
    free(torch.randn(1, 3, 16, 16), "image").sum().backward()
    assert free.network.training
    assert all(p.grad is not None for p in free.network.vision_model.encoder.parameters())


def test_half_precision_gives_float32_features_close_to_full(tmp_path: Path) -> None:
    publish(tmp_path)
    full, half = (CLIPEncoder.from_options(weights=str(tmp_path), dtype=d) for d in ("float32", "bfloat16"))
    pixels, found = torch.randn(1, 3, 16, 16), []
    for encoder in (full, half):
        encoder.load_weights()
        found.append(encoder(pixels, "image"))
    assert half.network.dtype == torch.bfloat16
    assert found[1].dtype == torch.float32
    torch.testing.assert_close(found[1], found[0], atol=0.05, rtol=0.05)


def test_published_preprocessing_numbers_are_used_and_go_into_a_saved_model(tmp_path: Path) -> None:
    publish(tmp_path)
    numbers = {"size": {"shortest_edge": 20}, "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({**numbers, "resample": 3, "do_resize": True}))
    encoder = CLIPEncoder.from_options(weights=str(tmp_path))
    media = picture(40, 44)
    reference = CLIPImageProcessorPil(**numbers, crop_size={"height": 16, "width": 16})
    expected = reference(media.tensor().permute(1, 2, 0).numpy(), return_tensors="pt")["pixel_values"][0]
    torch.testing.assert_close(encoder.preprocess(media), expected, atol=1e-6, rtol=0)

    encoder.load_weights()
    options = {**encoder.config.model_dump(mode="json"), **encoder.portable_options(tmp_path, "eye")}
    again = build("encoder", "clip", json.loads(json.dumps(options)))
    again.load_state_dict(encoder.state_dict())
    assert torch.equal(again.preprocess(media), encoder.preprocess(media))
    pixels = torch.randn(1, 3, 16, 16)
    torch.testing.assert_close(again(pixels, "image"), encoder(pixels, "image"))


def test_builds_and_prepares_on_the_meta_device(tmp_path: Path) -> None:
    publish(tmp_path)
    with torch.device("meta"):
        encoder = CLIPEncoder.from_options(weights=str(tmp_path))
    assert {p.device.type for p in encoder.parameters()} == {"meta"}
    rebuild, arguments = Preprocess(encoder).__reduce__()
    assert rebuild(*arguments)(picture()).shape == (3, 16, 16)


def test_published_sizes_on_the_meta_device() -> None:
    huge = {"hidden_size": 1280, "intermediate_size": 5120, "projection_dim": 1024, "num_hidden_layers": 32}
    huge |= {"num_attention_heads": 16, "patch_size": 14, "hidden_act": "gelu"}
    with torch.device("meta"):
        encoder = CLIPEncoder.from_options(architecture=huge, space="openclip-vit-h")
    assert round(sum(p.numel() for p in encoder.parameters()) / 1e6) == 632
    assert encoder.sizes.tokens == 257
    assert str(encoder.feature_space("image")) == "openclip-vit-h (1 x 1024, raw)"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "give 'weights' or 'architecture'"),
        ({"architecture": {**SIZES, "hiden_size": 3}}, "did you mean 'hidden_size'"),
        ({"architecture": {**SIZES, "num_attention_heads": 3}}, "not a multiple of 3 heads"),
        ({"architecture": SIZES, "preparation": {"short_side": 8}}, "no square of 16 pixels"),
    ],
)
def test_wrong_options_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        CLIPEncoder.from_options(options)


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ({"do_center_crop": False}, "do_center_crop: false"),
        ({"resample": 2}, "not bicubic"),
        ({"size": {"height": 16, "width": 16}}, "changes proportions"),
        ({"image_mean": 0.5}, r"\(mean: .*\. To fix: give 'preparation'"),
    ],
)
def test_preprocessing_that_is_not_done_here_is_refused(numbers: dict[str, Any], message: str, tmp_path: Path) -> None:
    publish(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(numbers))
    with pytest.raises(CheckpointError, match=message):
        CLIPEncoder.from_options(weights=str(tmp_path))
    CLIPEncoder.from_options(weights=str(tmp_path), preparation={})


def test_broken_folders_are_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no config\.json"):
        CLIPEncoder.from_options(weights=str(tmp_path / "nothing"))
    publish(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match="no weights here"):
        CLIPEncoder.from_options(weights=str(tmp_path)).load_weights()
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "vision_config": {"hidden_size": "wide"}}))
    with pytest.raises(CheckpointError, match="describes no model of this kind"):
        CLIPEncoder.from_options(weights=str(tmp_path))
    with pytest.raises(CheckpointError, match="download: true"):
        CLIPEncoder.from_options(weights="nobody/such-model")


def test_weights_of_another_size_are_refused(tmp_path: Path) -> None:
    publish(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config["vision_config"]["num_hidden_layers"] = 3
    config["projection_dim"] = 5
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=r"16 tensors missing: .*1 shapes wrong: visual_projection\.weight"):
        CLIPEncoder.from_options(weights=str(tmp_path)).load_weights()


@pytest.mark.parametrize("source", ["nobody/such-model", "/no/such/folder"])
def test_sizes_beside_weights_stand_in_until_the_weights_are_there(source: str, tmp_path: Path) -> None:
    with torch.device("meta"):
        absent = CLIPEncoder.from_options(architecture=SIZES, weights=source)
    assert absent.feature_space("image").dim == 6
    assert absent.preprocess(picture()).shape == (3, 16, 16)
    with pytest.raises(CheckpointError, match=r"download: true|no config\.json"):
        absent.load_weights()
    publish(tmp_path)
    CLIPEncoder.from_options(architecture=SIZES, weights=str(tmp_path)).load_weights()
    other = {**SIZES, "num_attention_heads": 4, "hidden_act": "gelu"}
    with pytest.raises(CheckpointError, match=r"num_attention_heads is 2 there, 4 here; hidden_act is 'quick_gelu'"):
        CLIPEncoder.from_options(architecture=other, weights=str(tmp_path)).load_weights()


def test_media_that_are_no_pictures_are_refused() -> None:
    with pytest.raises(MediaError, match=r"\(3, H, W\)"):
        tiny().preprocess(Media("image", torch.zeros(1, 4, 4)))
    with pytest.raises(MediaError, match="NaN or infinite"):
        tiny().preprocess(Media("image", torch.full((3, 4, 4), torch.nan)))
    with pytest.raises(ConfigError, match="encodes image, not audio"):
        tiny().feature_space("audio")
