"""Faults that let training end in noise, put into real models from outside: each is named within 50 steps."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning
import pytest
import torch
from safetensors.torch import load_file

from anyloom.sequence.collate import Collator
from anyloom.training.run import run
from anyloom.training.watching.watch import Watch
from anyloom_mini.tiny import PICTURE
from parts import DIM, PatchEncoder, picture
from projects import sections

Change = Callable[[Any], None]


class Seeded(lightning.Callback):
    """Changes a model before its first step."""

    def __init__(self, change: Change) -> None:
        self.change = change

    @torch.no_grad()
    def on_fit_start(self, trainer: Any, module: Any) -> None:
        self.change(module.model)


class NoRate(lightning.Callback):
    """Sets the learning rate to 0 before every step, whatever the schedule says."""

    def on_train_batch_start(self, trainer: Any, *_: Any) -> None:
        for group in trainer.optimizers[0].param_groups:
            group["lr"] = 0.0


def project(folder: Path, *callbacks: lightning.Callback, steps: int = 20) -> dict[str, Any]:
    folder.mkdir(exist_ok=True)
    made = sections(folder, max_steps=steps)
    made["data"]["batch_size"] = 8
    made["faults"] = {"watch": 10}
    made["trainer"] |= {"callbacks": list(callbacks), "num_sanity_val_steps": 0}
    return made


def named(made: dict[str, Any]) -> dict[tuple[str, str], str]:
    """What a run names: (fault, YAML key) and the line."""
    trainer = run("fit", made).trainer
    watch = next(c for c in trainer.callbacks if isinstance(c, Watch))
    assert trainer.global_step <= 50
    return {key: finding.line(0) for key, finding in watch.found.items()}


IMAGE = "model.modalities.image.representation"


def test_a_healthy_run_is_silent(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert named(project(tmp_path / "own")) == {}
    assert "fault" not in capsys.readouterr().err


@pytest.mark.slow
def test_the_run_does_not_notice(tmp_path: Path) -> None:
    results = []
    for every in (5, 0):
        made = project(tmp_path / str(every), steps=10)
        made["faults"]["watch"] = every
        run("fit", made)
        results.append(load_file(Path(made["result"]) / "model.safetensors"))
    assert all(torch.equal(tensor, results[1][name]) for name, tensor in results[0].items())


def test_no_learning_rate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert set(named(project(tmp_path / "own", NoRate()))) == {("learning-rate", "module.optimizer.lr")}
    line = next(own for own in capsys.readouterr().err.splitlines() if "fault" in own)
    assert line == (
        "note: step 10, fault learning-rate: module.optimizer.lr: it is 0, and no weight has moved in 10 steps; "
        "set it above 0"
    )


def test_learning_rate_too_high(tmp_path: Path) -> None:
    made = project(tmp_path / "own")
    made["module"]["optimizer"] = {"lr": 3.0}
    assert ("learning-rate", "module.optimizer.lr") in named(made)


def test_weight_of_zero(tmp_path: Path) -> None:
    made = project(tmp_path / "own")
    made["model"]["modalities"]["image"]["feature_weight"] = 0
    assert set(named(made)) == {("weight", "model.modalities.image.feature_weight")}


def test_frozen_head(tmp_path: Path) -> None:
    def freeze(model: Any) -> None:
        model.representation("image").output_projector.requires_grad_(False)

    assert set(named(project(tmp_path / "own", Seeded(freeze)))) == {("frozen", f"{IMAGE}.output_projector")}


def test_dead_projector(tmp_path: Path) -> None:
    def kill(model: Any) -> None:
        for parameter in model.representation("image").output_projector.parameters():
            parameter.zero_()

    assert ("dead", IMAGE) in named(project(tmp_path / "own", Seeded(kill)))


def test_unnormalised_target(tmp_path: Path) -> None:
    made = project(tmp_path / "own")
    made["model"]["encoders"]["eye"]["scale"] = "unit"
    found = named(made)
    assert set(found) == {("scale", "model.encoders.eye")}
    assert "declared L2-normalised" in found["scale", "model.encoders.eye"]


def test_constant_target(tmp_path: Path) -> None:
    def flatten(model: Any) -> None:
        model.parts.encoder("eye").linear.weight.zero_()

    found = named(project(tmp_path / "own", Seeded(flatten)))
    assert "all alike" in found["constant", "model.encoders.eye"]


def test_shifted_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    join = Collator.join

    def shifted(self: Collator, *args: Any, **named: Any) -> Any:
        batch = join(self, *args, **named)
        batch.labels = batch.labels.roll(1)
        return batch

    monkeypatch.setattr(Collator, "join", shifted)
    assert ("labels", "data") in named(project(tmp_path / "own"))


def test_wrong_range(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = PatchEncoder.preprocess
    monkeypatch.setattr(PatchEncoder, "preprocess", lambda self, media: 255 * plain(self, media))
    found = named(project(tmp_path / "own"))
    assert "range" in found["scale", "model.encoders.eye"]


def decoding(folder: Path, *changes: Change) -> dict[str, Any]:
    """A project with a decoder that is fitted, in closed form, to the pictures that the model trains on."""

    def fit(model: Any) -> None:
        decoder, encoder = model.decoder("image"), model.parts.encoder("eye")
        media = [picture(n) for n in range(8)]
        targets = torch.stack([decoder.preprocess(m) for m in media])
        features = encoder(torch.stack([encoder.preprocess(m) for m in media]), "image")
        decoder.autoencoder.fit_linear(targets)
        decoder.autoencoder.fit_latents(targets)
        decoder.fit(features, decoder.latents(targets))
        for change in changes:
            change(decoder)

    made = project(folder, Seeded(fit), steps=1)
    made["model"]["decoders"] = {"brush": {"name": "mini-picture", **PICTURE, "space": "patch-image", "dim": DIM}}
    made["model"]["modalities"]["image"] |= {"decoder": "brush", "diffusion_weight": 0}
    return made


def test_a_fitted_decoder_is_silent(tmp_path: Path) -> None:
    assert named(decoding(tmp_path / "own")) == {}


def test_wrong_latent_scale(tmp_path: Path) -> None:
    """The autoencoder's factor is forgotten: latents come as they are instead of at variance 1."""

    def forget(decoder: Any) -> None:
        decoder.autoencoder.latent_std.mul_(0.18215)

    found = named(decoding(tmp_path / "own", forget))
    assert set(found) == {("latent-scale", "model.decoders.brush.autoencoder.scaling_factor")}
    assert "RMS of 5." in next(iter(found.values()))


@pytest.mark.parametrize(("trained", "declared"), [("epsilon", "v_prediction"), ("v_prediction", "epsilon")])
def test_wrong_prediction_type(tmp_path: Path, trained: str, declared: str) -> None:
    """The network goes on predicting what it was made for, and the config says something else."""

    def declare(decoder: Any) -> None:
        denoise = decoder.sketch.prediction
        decoder.sketch.prediction = lambda *given: denoise(*given[:-1], trained)

    made = decoding(tmp_path / "own", declare)
    made["model"]["decoders"]["brush"]["prediction"] = declared
    found = named(made)
    assert set(found) == {("prediction", "model.decoders.brush.prediction")}
    assert f"set prediction: {trained}" in next(iter(found.values()))


@pytest.mark.slow
def test_swapped_modalities(tmp_path: Path) -> None:
    first = project(tmp_path / "first", steps=50)
    assert named(first) == {}

    def swap(model: Any) -> None:
        heads = [model.representation(name) for name in ("audio", "image")]
        states = [copy.deepcopy(head.state_dict()) for head in heads]
        for head, state in zip(heads, reversed(states)):
            head.load_state_dict(state)

    second = project(tmp_path / "second", Seeded(swap), steps=1)
    second["module"]["start_from"] = first["result"]
    (key,) = [key for key in named(second) if key[0] == "swapped"]
    assert key[1].startswith("model.modalities.audio")
