"""Options of training that no other test looks at: what is logged, where the learning rate ends, who stays."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lightning
import pytest
import torch
from torch import nn

from anyloom.config.schema import OptimizerConfig
from anyloom.conversation import Conversation
from anyloom.data.loader import ResumableLoader
from anyloom.interfaces import Sample
from anyloom.training.optimizer import make_optimizer
from anyloom.training.run import run
from projects import sections


class Logged(lightning.Callback):
    """Keeps the gradient norms that were logged, and takes them by hand from the weights before the step."""

    def __init__(self) -> None:
        self.logged: list[dict[str, float]] = []
        self.expected: list[dict[str, float]] = []

    def on_train_batch_start(self, trainer: Any, module: Any, batch: Any, batch_idx: int) -> None:
        state = torch.get_rng_state()
        losses = module.model(batch)
        norms = {}
        for name, term in losses.terms.items():
            module.zero_grad()
            term.mean.backward(retain_graph=True)
            grads = [p.grad.flatten() for p in module.model.llm.parameters() if p.grad is not None]
            norms[name] = float(torch.cat(grads).norm())
        module.zero_grad()
        torch.set_rng_state(state)  # the step draws the numbers that it would have drawn
        self.expected.append(norms)

    def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
        found = {k.removeprefix("gradient/"): float(v) for k, v in trainer.callback_metrics.items() if "gradient/" in k}
        self.logged.append(found)


def test_gradient_norms_of_the_terms_are_those_of_each_term_alone(tmp_path: Path) -> None:
    config = sections(tmp_path, max_steps=2)
    for modality in config["model"]["modalities"].values():
        modality["representation"]["feature_noise"] = 0.0
    config["module"] = {**config.get("module", {"name": "any-to-any"}), "gradient_norms": 1}
    logged = Logged()
    config["trainer"] |= {"callbacks": [logged], "limit_val_batches": 0, "log_every_n_steps": 1}
    run("fit", config)
    assert len(logged.logged) == 2
    for found, expected in zip(logged.logged, logged.expected, strict=True):
        assert len(found) > 1
        for name, norm in found.items():
            assert norm == pytest.approx(expected[name], rel=1e-3)


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_the_learning_rate_ends_at_its_share_of_the_peak(share: float) -> None:
    trainer: Any = SimpleNamespace(
        estimated_stepping_batches=10, global_step=10, callbacks=[], world_size=1, precision_plugin=None
    )
    config = OptimizerConfig(lr=0.5, warmup=0.0, final_lr_share=share)
    made = make_optimizer([("weight", nn.Parameter(torch.zeros(2)))], config, trainer)
    assert made["optimizer"].param_groups[0]["lr"] == pytest.approx(0.5 * share)


def process(samples: list[Sample]) -> int:
    return os.getpid()


@pytest.mark.parametrize("persistent", [True, False])
def test_workers_stay_from_pass_to_pass_if_they_are_to(persistent: bool) -> None:
    samples = [Sample(Conversation([]), "t", key=key) for key in "ab"]
    loader = ResumableLoader(lambda epoch: samples, process, 2, shuffle=False, workers=1, persistent=persistent)
    try:
        (first,), (second,) = list(loader), list(loader)
    finally:
        loader.close()
    assert first != os.getpid()
    assert (first == second) == persistent
