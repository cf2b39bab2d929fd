"""The component: feature spaces, options, weights, and its life inside a model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from anyloom import AnyToAnyModel, Conversation, Media, Message
from anyloom.discovery import get_registry
from anyloom.errors import CheckpointError, ConfigError
from anyloom.interfaces import Sample
from anyloom.storage.tensors import write_tensors
from anyloom_imagebind.config import MODALITIES
from anyloom_imagebind.encoder import ImageBindEncoder
from imagebind_golden import OWN_SIZES, VOCABULARY, golden, tiny_sizes
from parts import model_options, picture, sound

INPUTS = {
    "image": (3, 224, 224),
    "video": (15, 3, 2, 224, 224),
    "audio": (3, 1, 128, 204),
    "text": (77,),
    "depth": (1, 224, 224),
    "thermal": (1, 224, 224),
    "imu": (6, 2000),
    "text-feature": (77,),
}


def own(**options: Any) -> ImageBindEncoder:
    return ImageBindEncoder.from_options(size=OWN_SIZES, **options).eval()


def on_meta(**options: Any) -> ImageBindEncoder:
    with torch.device("meta"):
        return ImageBindEncoder.from_options(options)


def test_the_record_names_the_licence_of_the_weights() -> None:
    (spec,) = [s for s in get_registry().components("encoder") if s.name == "imagebind"]
    assert spec.modalities == MODALITIES
    assert "CC-BY-NC-SA-4.0" in spec.licence


@pytest.mark.parametrize("modality", MODALITIES)
@pytest.mark.parametrize("features", ["pooled", "tokens"])
def test_features_have_the_shape_that_the_space_declares(modality: str, features: str) -> None:
    encoder = own(features=features)
    shape = (2, *INPUTS[modality])
    inputs = torch.randint(0, 64, shape) if modality.startswith("text") else torch.rand(shape)
    space = encoder.feature_space(modality)
    with torch.no_grad():
        assert encoder(inputs, modality).shape == (2, space.tokens, space.dim)


def test_text_features_are_the_text_towers() -> None:
    encoder = own(vocabulary=str(VOCABULARY), modalities=["text", "text-feature"])
    phrase = torch.tensor(list(b"a photo of a dog"), dtype=torch.uint8)
    inputs = encoder.preprocess(Media("text-feature", phrase))
    assert torch.equal(inputs, encoder.tokenize("a photo of a dog")[0])
    ids = torch.randint(0, 64, (2, 77))  # the tests' tower has a vocabulary of 64
    with torch.no_grad():
        assert torch.equal(encoder(ids, "text-feature"), encoder(ids, "text"))


def test_spaces_of_the_published_size() -> None:
    assert str(on_meta().feature_space("audio")) == "imagebind-huge (1 x 1024, raw)"
    assert str(on_meta().feature_space("image")) == "openclip-vit-h (1 x 1024, raw)"
    assert str(on_meta(normalise="unit").feature_space("image")) == "imagebind-huge (1 x 1024, unit)"
    upstream = on_meta(normalise="upstream").feature_space("audio")
    assert str(upstream) == "imagebind-huge-upstream (1 x 1024, raw)"
    tokens = on_meta(features="tokens")
    assert [tokens.feature_space(m).tokens for m in MODALITIES] == [257, 15 * 257, 3 * 229, 77, 197, 197, 251, 77]
    assert tokens.feature_space("image").name == "imagebind-huge-tokens"
    assert on_meta(spaces={"audio": "imagebind-audio"}).feature_space("audio").name == "imagebind-audio"
    assert own().feature_space("image").name == "imagebind-own"


@pytest.mark.parametrize("modality", ["audio", "smell"])
def test_a_modality_it_does_not_do_is_refused(modality: str) -> None:
    with pytest.raises(ConfigError, match=f"no '{modality}'"):
        own(modalities=["image"]).feature_space(modality)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"featurs": "tokens"}, "features"),
        ({"size": "large"}, "size"),
        ({"modalities": []}, "modalities"),
        ({"modalities": ["image"], "spaces": {"audio": "x"}}, "spaces.audio"),
        ({"size": {"vision": {"width": 10, "blocks": 1, "heads": 4}}}, "heads"),
    ],
    ids=str,
)
def test_wrong_options_are_named(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        ImageBindEncoder.from_options(options)


def test_only_the_towers_asked_for_are_built() -> None:
    towers = own(modalities=["video", "audio"]).network.modality_trunks
    assert list(towers) == ["vision", "audio"]


def test_a_checkpoint_fills_all_towers_or_some(tmp_path: Path) -> None:
    write_tensors(golden("state_dict"), tmp_path / "model.safetensors")
    for modalities in (MODALITIES, ("audio", "text")):
        encoder = ImageBindEncoder.from_options(
            size=tiny_sizes(), weights=str(tmp_path), modalities=modalities, normalise="upstream"
        )
        assert next(encoder.parameters()).is_meta, "nothing is allocated before the weights are read"
        assert encoder.weight_files() == [tmp_path]
        encoder.load_weights()
        with torch.no_grad():
            features = encoder.eval()(golden("inputs")["audio"], "audio")[:, 0]
        torch.testing.assert_close(features, golden("outputs")["audio"], atol=1e-5, rtol=0)


def _without(tensors: dict[str, torch.Tensor]) -> None:
    del tensors["modality_trunks.audio.blocks.0.norm_1.bias"]


def _with_another(tensors: dict[str, torch.Tensor]) -> None:
    tensors["modality_trunks.smell.weight"] = torch.zeros(1)


def _misshapen(tensors: dict[str, torch.Tensor]) -> None:
    tensors["modality_heads.audio.2.weight"] = torch.zeros(32, 8)


@pytest.mark.parametrize(
    ("change", "says"),
    [(_without, "1 keys missing"), (_with_another, "modality_trunks.smell.weight"), (_misshapen, "(32, 8)")],
)
def test_another_models_checkpoint_is_refused(change: Any, says: str, tmp_path: Path) -> None:
    tensors = golden("state_dict")
    change(tensors)
    file = tmp_path / "x.safetensors"
    write_tensors(tensors, file)
    encoder = ImageBindEncoder.from_options(size=tiny_sizes(), weights=str(file), modalities=["audio"])
    with pytest.raises(CheckpointError) as caught:
        encoder.load_weights()
    assert says in str(caught.value)
    assert str(file) in str(caught.value)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("missing.safetensors", "no weights here"),
        ("short.safetensors", "truncated"),
        ("imagebind_huge.pth", "imagebind-convert"),
        ("somebody/imagebind", "download: true"),
    ],
)
def test_unreadable_weights_give_one_clear_error(name: str, says: str, tmp_path: Path) -> None:
    (tmp_path / "short.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0{}")
    source = name if "/" in name else str(tmp_path / name)
    with pytest.raises(CheckpointError) as caught:
        own(weights=source).load_weights()
    assert says in str(caught.value)


def test_a_missing_vocabulary_is_found_when_weights_are_read(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="nowhere"):
        own(vocabulary=tmp_path / "nowhere.txt.gz").load_weights()


def encoder_options(**more: Any) -> dict[str, Any]:
    return {"eye": {"name": "imagebind", "size": OWN_SIZES, "vocabulary": str(VOCABULARY), **more}}


def test_a_model_trains_around_it_and_keeps_it_fixed(tokenizer_folder: Path) -> None:
    model = AnyToAnyModel.from_config({"model": model_options(tokenizer_folder, encoders=encoder_options())})
    talk = Conversation([Message("user", ["make it blue ", picture(0)]), Message("assistant", [picture(1), sound(2)])])
    model.train()(model.collator()([Sample(talk, "test")])).total().backward()
    encoder = model.encoder("image")
    assert not encoder.training
    assert all(p.grad is None and not p.requires_grad for p in encoder.parameters())
    assert model.parts.representation("audio").output_projector.state_dict()
    assert any(
        p.grad is not None and p.grad.any() for p in model.parts.representation("audio").output_projector.parameters()
    )


def test_a_saved_model_brings_weights_and_vocabulary_along(tokenizer_folder: Path, tmp_path: Path) -> None:
    options = model_options(tokenizer_folder, encoders=encoder_options())
    model = AnyToAnyModel.from_config({"model": options})
    model.save_pretrained(tmp_path)
    loaded = AnyToAnyModel.from_pretrained(tmp_path, trust=True).encoder("image")
    assert isinstance(loaded, ImageBindEncoder)
    assert str(tmp_path) in str(loaded.config.vocabulary)
    ids = loaded.tokenize("a photo of a dog")
    assert ids[0, :4].tolist() == [49406, 320, 1125, 539]
    inputs = torch.rand(1, 3, 224, 224)
    with torch.no_grad():
        torch.testing.assert_close(loaded(inputs, "image"), model.encoder("image").eval()(inputs, "image"))
