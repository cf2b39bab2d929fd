"""A loss or gradient that is not finite never reaches the weights."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import lightning
import pytest
import torch
from safetensors.torch import load_file

from anyloom.cli.main import main
from anyloom.training.finite import NonFiniteError
from anyloom.training.progress_lines import Explosions
from anyloom.training.run import run
from projects import sections, write_config

CHECKPOINT = "lightning.pytorch.callbacks.ModelCheckpoint"


class Poison(lightning.Callback):
    """Makes the loss or the gradient of some steps bad, as an overflow in the model would."""

    def __init__(self, steps: tuple[int, ...], what: str = "loss", value: float = float("nan")) -> None:
        self.steps, self.what, self.value = steps, what, value
        self.keys: dict[int, list[str]] = {}

    def on_train_batch_start(self, trainer: Any, module: Any, batch: Any, batch_idx: int) -> None:
        self.keys.setdefault(trainer.global_step, []).extend(s.provenance["source"] for s in batch.samples)

    def on_before_backward(self, trainer: Any, module: Any, loss: Any) -> None:
        if self.what == "loss" and trainer.global_step in self.steps:
            loss.data.fill_(self.value)

    def on_after_backward(self, trainer: Any, module: Any) -> None:
        if self.what == "gradient" and trainer.global_step in self.steps:
            parameter = next(p for p in module.parameters() if p.grad is not None)
            parameter.grad.view(-1)[0] = self.value


class Weights(lightning.Callback):
    """The sum of all weights after each step."""

    def __init__(self) -> None:
        self.sums: dict[int, float] = {}

    def on_train_batch_end(self, trainer: Any, module: Any, *_: Any) -> None:
        self.sums[trainer.global_step] = sum(float(p.detach().double().sum()) for p in module.parameters())


def project(folder: Path, *callbacks: Any, **faults: Any) -> dict[str, Any]:
    made = sections(folder, max_steps=5)
    options = {"dirpath": str(folder / "checkpoints"), "every_n_train_steps": 1, "save_top_k": -1, "save_last": True}
    made["trainer"]["callbacks"] = [*callbacks, {"class_path": CHECKPOINT, "init_args": options}]
    made["faults"] = faults
    return made


@pytest.mark.parametrize(
    ("what", "value"),
    [
        ("loss", float("nan")),
        ("gradient", float("inf")),
        pytest.param("loss", float("inf"), marks=pytest.mark.slow),
        pytest.param("gradient", float("nan"), marks=pytest.mark.slow),
    ],
)
def test_a_run_stops_before_the_bad_step_and_names_its_samples(tmp_path: Path, what: str, value: float) -> None:
    poison, weights = Poison((2,), what, value), Weights()
    with pytest.raises(NonFiniteError, match=r"step 2: the .* the weights are as they were") as caught:
        run("fit", project(tmp_path, poison, weights))
    assert len(poison.keys[2]) == 2
    assert all(key in caught.value.what for key in poison.keys[2])
    assert not (tmp_path / "result").exists()
    kept = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)
    assert kept["global_step"] == 2
    assert all(t.isfinite().all() for t in kept["state_dict"].values())


def test_in_a_window_only_the_bad_batch_s_samples_are_named(tmp_path: Path) -> None:
    class Second(Poison):
        def on_before_backward(self, trainer: Any, module: Any, loss: Any) -> None:
            if trainer.fit_loop.epoch_loop.batch_idx == 1:
                loss.data.fill_(self.value)

    poison = Second(())
    config = project(tmp_path, poison)
    config["trainer"]["accumulate_grad_batches"] = 2
    with pytest.raises(NonFiniteError) as caught:
        run("fit", config)
    assert all(key in caught.value.what for key in poison.keys[0][2:])
    assert not any(f"{key}," in f"{caught.value.what}," for key in poison.keys[0][:2])


def test_a_diverging_run_ends_with_its_status_and_keeps_the_old_result(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = sections(tmp_path, max_steps=2)
    path = write_config(tmp_path, config)
    assert main(["fit", path]) == 0
    assert f"result: {tmp_path / 'result'}" in capsys.readouterr().out
    before = load_file(tmp_path / "result" / "model.safetensors")
    assert main(["fit", path, "module.optimizer.lr=1e30", "trainer.max_steps=9"]) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error:")]
    assert "samples: " in line
    after = load_file(tmp_path / "result" / "model.safetensors")
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())


@pytest.mark.parametrize("what", ["gradient", pytest.param("loss", marks=pytest.mark.slow)])
def test_a_skipped_step_changes_no_weight_and_the_budget_ends(
    tmp_path: Path, what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = Weights()
    run("fit", project(tmp_path, Poison((1, 3), what), weights, non_finite="skip", budget=2))
    assert weights.sums[2] == weights.sums[1]
    assert weights.sums[4] == weights.sums[3]
    assert len(set(weights.sums.values())) == 3
    assert "skipped (2 of 2)" in capsys.readouterr().err
    with pytest.raises(NonFiniteError, match="after 1 skipped steps"):
        run("fit", project_again(tmp_path, Poison((1, 3), what), non_finite="skip", budget=1))


def project_again(folder: Path, *callbacks: Any, **faults: Any) -> dict[str, Any]:
    (folder / "again").mkdir()
    return project(folder / "again", *callbacks, **faults)


def test_rolling_back_goes_on_from_the_last_good_checkpoint_without_the_step(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same weights as where the bad step is skipped at once; a second run counts the tries."""
    skipped = run("fit", project(tmp_path, Poison((2,)), non_finite="skip"))
    rolled = run("fit", project_again(tmp_path, Poison((2,)), non_finite="roll-back"))
    assert all(torch.equal(t, rolled.model.state_dict()[n]) for n, t in skipped.model.state_dict().items())
    assert f"rolling back to {tmp_path / 'again' / 'checkpoints'}" in capsys.readouterr().err


def test_the_norm_that_was_judged_is_the_one_that_clips(tmp_path: Path) -> None:
    """Clipped gradients are those of torch's own clip_grad_norm_."""

    class Compare(lightning.Callback):
        def on_before_optimizer_step(self, trainer: Any, module: Any, optimizer: Any) -> None:
            parameters = [p for g in optimizer.param_groups for p in g["params"] if p.grad is not None]
            self.copies = [torch.nn.Parameter(p.detach().clone()) for p in parameters]
            for copied, p in zip(self.copies, parameters):
                copied.grad = p.grad.clone()
            torch.nn.utils.clip_grad_norm_(self.copies, 0.01)
            self.own = parameters

        def on_before_zero_grad(self, trainer: Any, module: Any, optimizer: Any) -> None:
            if hasattr(self, "own"):
                self.same = all(torch.equal(c.grad, p.grad) for c, p in zip(self.copies, self.own))  # type: ignore[arg-type]

    compare = Compare()
    config = project(tmp_path, compare)
    config["module"]["optimizer"]["gradient_clip"] = 0.01
    config["trainer"]["limit_val_batches"] = 0  # validation drops the gradients
    run("fit", config)
    assert compare.same


def test_samples_without_names_are_no_error(tmp_path: Path) -> None:
    """A stage whose batches hold media alone names them by their keys."""
    from anyloom.training.finite import batch_keys

    assert batch_keys({"a": 1}) == []
    assert batch_keys(torch.zeros(2)) == []


def test_a_term_that_explodes_is_remarked_once(capsys: pytest.CaptureFixture[str]) -> None:
    watch = Explosions()
    for step in range(20):
        watch._look("train/diffusion/audio", 1.4 if step < 10 else 140.0 + step, step, 3.4)
        watch._look("train/text", 2.0 + step / 100, step, 3.4)
    (line,) = capsys.readouterr().err.splitlines()
    assert "train/diffusion/audio is 151 at step 11, 108 times what it was" in line  # 151 / 1.4


def test_one_look_is_no_explosion(capsys: pytest.CaptureFixture[str]) -> None:
    watch = Explosions()
    for step in range(20):
        watch._look("train/diffusion/audio", 140.0 + step if step % 2 else 1.4 + step / 100, step, 3.4)
        watch._look("train/feature/image", 1.0 if step < 10 else 90.0, step, 3.4)  # said again, not measured again
    assert not capsys.readouterr().err


def test_a_term_that_is_little_of_the_loss_may_jump(capsys: pytest.CaptureFixture[str]) -> None:
    watch = Explosions()
    for step in range(20):
        watch._look("train/text", (2e-6 if step < 10 else 0.6) + step / 1e7, step, 0.4)
    assert not capsys.readouterr().err


def test_the_policy_is_checked_like_any_section(tmp_path: Path) -> None:
    config = sections(tmp_path)
    config["faults"] = {"non_finit": "skip"}
    with pytest.raises(Exception, match=r"faults\.non_finit: .*did you mean 'non_finite'"):
        run("fit", copy.deepcopy(config))
    assert json.dumps(config)
