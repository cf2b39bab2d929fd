"""Every component of this repository passes the conformance kit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from anyloom import AnyToAnyModel, Conversation, Message
from anyloom.conversation import Media
from anyloom.discovery import ComponentSpec, get_registry
from anyloom.interfaces import Evaluated, Sample
from anyloom.testing import Case, MetricCase, ModuleCase, check_component, tiny_case
from anyloom_mini.tiny import PICTURE
from parts import DIM, image_decoder_options, model_options, picture

OURS = [s for s in get_registry().components() if s.package == "anyloom"]
WITHOUT_TINY = {
    ("llm", "llama"): "it is causal-lm by its older name",
    ("module", "any-to-any"): "it needs components of other plugins, which the core does not know",
    ("module", "latent-autoencoder"): "it needs a decoder, and the core does not know one",
    ("module", "feature-decoder"): "it needs a decoder, and the core does not know one",
    ("module", "decoder"): "it needs a decoder, and the core does not know one",
    ("module", "mini-autoencoder"): "it is tried below, with the other stages of decoders",
    ("module", "mini-decoder"): "it is tried below, with the other stages of decoders",
    ("coupler", "condition-coupler"): "it needs two decoders; tests/core/diffusion/test_couplers.py tries it",
    ("dataset", "hf"): "it gives a stream of the hub, which has no samples by index",
    ("metric", "retrieval"): "it needs a model to measure, and plugins do not know each other",
    ("metric", "feature-error"): "it needs a model to measure, and plugins do not know each other",
}


def failures(case: Case) -> list[str]:
    """Failed checks with their messages; expected ones are none."""
    return [f"{r.check.name}: {r.message}" for r in check_component(case) if r.verdict == "failed"]


TRIED_ALWAYS = {
    *("cnn14", "dino", "clip-joint", "frechet-distance", "psnr", "text-image-alignment", "captions", "torchmetrics"),
}
"""One of each base class in anyloom_metrics; the others' checks start processes for little that is new, so are slow."""


def marked(spec: ComponentSpec) -> Any:
    slow = spec.plugin == "anyloom_metrics" and spec.name not in TRIED_ALWAYS
    return pytest.param(spec, id=f"{spec.kind}-{spec.name}", marks=[pytest.mark.slow] * slow)


@pytest.mark.parametrize("spec", [marked(s) for s in OURS if s.tiny])
def test_component_conforms(spec: ComponentSpec, tmp_path: Path) -> None:
    if (status := get_registry().status(spec)).startswith("needs"):
        pytest.skip(status)
    assert failures(tiny_case(spec, tmp_path)) == []


def test_components_name_a_tiny_form_or_are_tried_below() -> None:
    assert {(s.kind, s.name) for s in OURS if not s.tiny} == set(WITHOUT_TINY)


CAPTIONS = [
    Sample(Conversation([Message("user", "make it blue"), Message("assistant", ["hello ", picture(n)])]), "paint")
    for n in range(4)
]


def test_the_module_of_the_assembled_model_conforms(tokenizer_folder: Path) -> None:
    model = model_options(tokenizer_folder, ("image",))
    assert failures(ModuleCase("any-to-any", samples=CAPTIONS, model=model)) == []


STAGES = ["latent-autoencoder", "feature-decoder", "decoder", "mini-autoencoder", "mini-decoder"]


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_of_a_decoder_conforms(name: str) -> None:
    options: dict[str, Any] = {"decoder": image_decoder_options()}
    if name.startswith("mini"):
        options["decoder"] = {"name": "mini-picture", **PICTURE, "space": "patch-image"}
    if not name.endswith("autoencoder"):
        options["encoder"] = {"class_path": "parts.PatchEncoder"}
    assert failures(ModuleCase(name, options=options, samples=CAPTIONS)) == []


def edited(number: int) -> Evaluated:
    """A picture that was changed, with candidates, and an answer with features of its own."""
    source, target = picture(number), picture(number + 10)
    messages = [Message("user", ["make it blue ", source]), Message("assistant", [target])]
    facts = {"family": "colour", "k": 0, "candidates": (source, target, picture(number + 20))}
    features = torch.randn(1, DIM, generator=torch.Generator().manual_seed(number))
    answer = Message("assistant", [Media("image", features=features)])
    return Evaluated(Sample(Conversation(messages), "edit", facts), answer)


@pytest.mark.parametrize("name", ["retrieval", "feature-error"])
def test_a_metric_of_features_conforms(name: str, tokenizer_folder: Path) -> None:
    model = AnyToAnyModel.from_config({"model": model_options(tokenizer_folder, ("image",))}).eval()
    assert failures(MetricCase(name, evaluated=[edited(n) for n in range(4)], model=model)) == []
