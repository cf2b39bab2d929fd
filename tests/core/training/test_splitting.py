"""A batch that does not fit into memory: computed in halves, with the gradient of the whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning
import pytest
import torch

from anyloom.training.outside_errors import InterruptedRunError
from anyloom.training.run import run
from projects import sections


class SmallMemory(lightning.Callback):
    """A device on which no more than some rows fit, in the forward pass or in the backward pass."""

    def __init__(self, rows: int, where: str) -> None:
        self.rows, self.where = rows, where
        self.sizes: list[int] = []

    def on_fit_start(self, trainer: Any, module: Any) -> None:
        def forward(_: Any, inputs: Any) -> None:
            self.sizes.append(len(inputs[0].ids))
            if self.where == "forward" and self.sizes[-1] > self.rows:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

        def backward(gradient: torch.Tensor) -> None:
            if self.where == "backward" and self.sizes[-1] > self.rows:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

        module.model.register_forward_pre_hook(forward)
        next(p for p in module.parameters() if p.requires_grad).register_hook(backward)


def project(folder: Path, *callbacks: Any, **trainer: Any) -> dict[str, Any]:
    config = sections(folder, max_steps=2)
    for modality in config["model"]["modalities"].values():
        modality["representation"]["feature_noise"] = 0.3
    config["data"]["batch_size"] = 4
    config["trainer"] |= {"callbacks": list(callbacks), "limit_val_batches": 0, **trainer}
    return config


@pytest.mark.parametrize(("where", "accumulate"), [("forward", 1), ("backward", 1), ("forward", 2)])
def test_halves_give_the_weights_of_the_whole(
    tmp_path: Path, where: str, accumulate: int, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("whole", "halves"):
        (tmp_path / name).mkdir()
    whole = run("fit", project(tmp_path / "whole", accumulate_grad_batches=accumulate)).model.state_dict()
    memory = SmallMemory(2, where)
    halves = run("fit", project(tmp_path / "halves", memory, accumulate_grad_batches=accumulate)).model.state_dict()
    assert memory.sizes.count(2) == 2 * memory.sizes.count(4) > 0
    for name, tensor in whole.items():
        torch.testing.assert_close(halves[name], tensor, atol=1e-6, rtol=1e-4, msg=name)
    assert "do not fit into memory; computed in halves" in capsys.readouterr().err


@pytest.mark.parametrize(("rows", "policy"), [(1, "split"), (2, "stop")])
def test_what_does_not_fit_in_halves_is_one_line_of_advice(tmp_path: Path, rows: int, policy: str) -> None:
    config = project(tmp_path, SmallMemory(rows, "forward"))
    config["faults"] = {"out_of_memory": policy}
    with pytest.raises(InterruptedRunError, match=r"does not fit into memory .*lower data\.batch_size"):
        run("fit", config)
    assert not (tmp_path / "result").exists()
