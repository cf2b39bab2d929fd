"""The module that trains a decoder of any kind by its own loss."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from anyloom.conversation import Conversation, Message
from anyloom.errors import FeatureSpaceError
from anyloom.interfaces import Condition, Sample
from anyloom.storage.tensors import read_tensors
from anyloom.training.decoder_alone import DecoderTraining
from anyloom.training.run import run
from parts import image_decoder_options, picture
from projects import sections
from regressor import PictureRegressor


def project(folder: Path, **decoder: Any) -> dict[str, Any]:
    """Pictures of conversations, a linear encoder, a tiny decoder."""
    config = sections(folder, max_steps=4)
    del config["model"]
    config["module"] = {
        "name": "decoder",
        "encoder": {"class_path": "parts.PatchEncoder"},
        "decoder": image_decoder_options(**decoder),
        "optimizer": {"lr": 0.01},
    }
    return config


def test_trains_the_decoder_and_nothing_else(tmp_path: Path) -> None:
    first = run("fit", project(tmp_path))
    decoder, encoder = first.model.decoder, first.model.encoder
    assert not encoder.training
    assert not any(p.requires_grad or p.grad is not None for p in encoder.parameters())
    written = read_tensors(tmp_path / "result")
    assert written.keys() == decoder.state_dict().keys()
    header = next((tmp_path / "run" / "csv").glob("*/metrics.csv")).read_text().splitlines()[0]
    assert {"train/loss", "val/loss"} <= set(header.split(","))

    started = module_of({**first.module_options, "start_from": tmp_path / "result"}).decoder.state_dict()
    assert all(torch.equal(started[key], value) for key, value in written.items())


def module_of(options: dict[str, Any]) -> DecoderTraining:
    return DecoderTraining(DecoderTraining.Config.model_validate({k: v for k, v in options.items() if k != "name"}), {})


@pytest.mark.parametrize("reference", [False, True])
def test_loss_is_the_decoders_own(tmp_path: Path, reference: bool) -> None:
    """The step's loss is what the decoder says of the encoder's features, under the same chance."""
    module = module_of(project(tmp_path, reference=reference)["module"])
    for parameter in module.decoder.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    turns = [Message("user", ["make it blue", picture(1)]), Message("assistant", [picture(2)])]
    batch = module.collator()([Sample(Conversation(turns), "edit")])
    own = torch.stack([batch.targets[batch.keys.index(f"picture-{n}")] for n in (1, 2)])
    inputs = torch.stack([module.encoder.preprocess(picture(n)) for n in (1, 2)])
    features = module.encoder(inputs, "image")
    condition = Condition(features)
    if reference:
        condition = Condition(features, torch.stack([torch.zeros_like(own[0]), own[0]]), torch.tensor([False, True]))
    torch.manual_seed(3)
    expected = module.decoder.eval()(condition, own)
    torch.manual_seed(3)
    assert torch.allclose(module._loss(batch), expected.mean())


def test_chance_of_a_step_is_that_of_the_samples_visits(tmp_path: Path) -> None:
    module = module_of(project(tmp_path)["module"])
    for parameter in module.decoder.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    given = [Sample(Conversation([Message("assistant", [picture(n)])]), "draw", seed=n) for n in (1, 2)]
    collate = module.collator()

    def loss(*samples: Sample) -> torch.Tensor:
        batch = collate(samples)
        return module._loss(batch, batch.seeds)

    torch.testing.assert_close(loss(*given), (loss(given[0]) + loss(given[1])) / 2)
    assert loss(given[0]) != loss(replace(given[0], seed=7))


def test_a_decoder_without_diffusion_is_trained_like_any_other(tmp_path: Path) -> None:
    config = project(tmp_path)
    config["module"]["decoder"] = {"class_path": "regressor.PictureRegressor", "space": "patch-image", "dim": 8}
    first = run("fit", config)
    written = read_tensors(tmp_path / "result")
    assert written.keys() == first.model.decoder.state_dict().keys()
    fresh = PictureRegressor.from_options(space="patch-image", dim=8, weights=tmp_path / "result")
    fresh.load_weights()
    assert torch.equal(fresh.layers[0].weight, written["layers.0.weight"])


def test_features_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FeatureSpaceError, match=r"module\.decoder"):
        run("fit", project(tmp_path, dim=9))
