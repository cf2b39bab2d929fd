"""Rows 21 to 28 and 31 to 34: runs that are stopped, disks that are full, steps that go wrong."""

from __future__ import annotations

import copy
import itertools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import lightning
import pytest
import torch

from anyloom.data.loader import Batching, ResumableLoader
from anyloom.data.sample_order import SampleOrder
from anyloom.errors import AnyloomError, CheckpointError
from anyloom.interfaces import Sample
from anyloom.storage import atomic
from anyloom.training.checkpoint_files import CheckpointFiles, newest_good
from anyloom.training.finite import NonFiniteError
from anyloom.training.outside_errors import InterruptedRunError
from anyloom.training.run import run
from core.training.test_exact_resume import equal, project, saving, values, was_killed
from core.training.test_stopping import ended, started
from faults.conftest import mounted
from faults.rows import row
from projects import Stop, sections, write_config


@row(21, "run", done="SIGTERM at a step, at another one, and in a validation", promise="saved, 143, resumed bit-equal")
def test_sigterm_at_steps(tmp_path: Path) -> None:
    whole = run("fit", project(tmp_path / "whole"))
    config = project(tmp_path / "cut")
    config["trainer"]["callbacks"] = [saving(tmp_path / "cut", every_n_epochs=100)]
    for batch, hook in ((2, "train"), (1, "train"), (1, "validation")):
        cut = copy.deepcopy(config)
        cut["trainer"]["callbacks"] = [Stop(batch, "SIGTERM", hook), *cut["trainer"]["callbacks"]]
        with pytest.raises(SystemExit) as ended_with:
            run("fit", cut)
        assert ended_with.value.code == 143
        config["ckpt_path"] = "last"
    assert equal(whole.model, run("fit", config).model)
    assert values(tmp_path / "cut", "train/loss") == values(tmp_path / "whole", "train/loss")


@pytest.mark.slow
@row(
    22, "run", done="SIGINT once, then again at once", promise="the first saves; the second ends soon, files are whole"
)
def test_sigint_twice(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    process = started(tmp_path / "one")
    process.send_signal(signal.SIGINT)
    status, text = ended(process)
    assert (status, "Traceback" in text) == (130, False), text
    assert torch.load(tmp_path / "one" / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] > 0
    (tmp_path / "two").mkdir()
    process = started(tmp_path / "two")
    begun = time.monotonic()
    process.send_signal(signal.SIGINT)
    time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    status, _ = ended(process)
    assert status in (130, -signal.SIGINT)  # which a shell shows as 130 too
    assert time.monotonic() - begun < 15
    for path in (tmp_path / "two").rglob("*.ckpt"):
        torch.load(path, weights_only=True)


def checkpoint(value: float) -> dict[str, Any]:
    version = lightning.__version__
    return {"state_dict": {"a": torch.full((50,), value)}, "pytorch-lightning_version": version, "loops": {}}


def die_at(point: int) -> None:
    """Let this process be killed at one of the calls that write a checkpoint."""
    calls = itertools.count()

    def die(original: Any) -> Any:
        def call(*args: Any, **named: Any) -> Any:
            if next(calls) == point:
                os.kill(os.getpid(), signal.SIGKILL)
            return original(*args, **named)

        return call

    torch.save, os.fsync = die(torch.save), die(os.fsync)
    Path.replace = die(Path.replace)  # type: ignore[method-assign]


@row(
    23,
    "files",
    done="SIGKILL at five points of the writing of a checkpoint",
    promise="a good one loads, drafts are swept",
)
def test_kill_while_a_checkpoint_is_written(tmp_path: Path) -> None:
    for point in range(5):
        folder = tmp_path / str(point)
        CheckpointFiles().save_checkpoint(checkpoint(1.0), folder / "last.ckpt")
        child = os.fork()
        if child == 0:
            die_at(point)
            CheckpointFiles().save_checkpoint(checkpoint(2.0), folder / "last.ckpt")
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
        good, damaged = newest_good(folder)
        assert not damaged
        assert good is not None
        assert float(CheckpointFiles().load_checkpoint(good)["state_dict"]["a"][0]) in (1.0, 2.0)
        atomic.remove_drafts(folder)
        assert not list(folder.glob(".*draft"))


@row(24, "run", done="SIGKILL before steps, twice", promise="no sample lost or twice, losses and weights bit-equal")
def test_kill_between_steps(tmp_path: Path) -> None:
    made = [project(tmp_path / name, max_steps=6) for name in ("whole", "cut")]
    for config, name in zip(made, ("whole", "cut")):
        config["trainer"]["callbacks"] = [saving(tmp_path / name, every_n_train_steps=1)]
    whole, config = run("fit", made[0]), made[1]
    for batch in (3, 1):
        cut = copy.deepcopy(config)
        cut["trainer"]["callbacks"] = [Stop(batch, "SIGKILL"), *cut["trainer"]["callbacks"]]
        assert was_killed(cut, after=None)
        config["ckpt_path"] = "last"
    assert equal(whole.model, run("fit", config).model)
    kept = [torch.load(tmp_path / n / "ck" / "last.ckpt", weights_only=True)["AnyToAnyData"] for n in ("whole", "cut")]
    for key in ("position", "beyond"):
        assert kept[0]["train"][key] == kept[1]["train"][key]
    totals = [k["train"]["ledger"]["before"] for k in kept]
    assert totals[0] == totals[1]
    assert values(tmp_path / "cut", "val/loss") == values(tmp_path / "whole", "val/loss")


@row(
    25,
    "run",
    done="resumed with other workers, and as two processes of other batch size",
    promise="nothing lost or twice",
)
def test_other_layout() -> None:
    from anyloom import Conversation, Message

    data = [Sample(Conversation([Message("user", str(n))]), "t") for n in range(40)]

    def names(batch: list[Sample]) -> list[str]:
        return [s.conversation.messages[0].text for s in batch]

    def loader(**more: Any) -> ResumableLoader:
        order = SampleOrder.of(lambda epoch: data, shuffle=True, seed=3)
        return ResumableLoader(order, names, Batching(more.pop("batch", 4), 1), **more)

    one = loader()
    expected = list(one)
    for workers in (0, 2):
        first = loader(workers=workers)
        begun = [batch for _, batch in zip(range(3), first)]
        state = first.joined_state([first.local_state()])
        first.close()
        second = loader(workers=2 - workers)
        second.load_state_dict(state)
        assert begun + list(second) == expected
        second.close()
    ranks = [loader(batch=2, rank=rank, world=2) for rank in range(2)]
    seen = [name for batch in begun for name in batch]
    for rank in ranks:
        rank.load_state_dict(state)
        seen += [name for batch in rank for name in batch]
    assert sorted(seen, key=int) == [str(n) for n in range(40)]


def fits(folder: Path, disk: Path, what: str) -> dict[str, Any]:
    """A run that writes one of its outputs to a small disk."""
    config = sections(folder, max_steps=6)
    config["trainer"]["callbacks"] = [saving(disk if what == "checkpoint" else folder, every_n_train_steps=1)]
    if what == "log":
        config["trainer"]["logger"][0]["init_args"] |= {"save_dir": str(disk), "flush_logs_every_n_steps": 1}
    if what == "result":
        config["result"] = str(disk / "result")
    return config


class Fills(lightning.Callback):
    """Fills a disk at the third step."""

    def __init__(self, disk: Path) -> None:
        self.disk = disk

    def on_train_batch_start(self, trainer: Any, *_: Any) -> None:
        if trainer.global_step == 3:
            filler = os.open(self.disk / "filler", os.O_WRONLY | os.O_CREAT)
            free = os.statvfs(self.disk)
            os.posix_fallocate(filler, 0, free.f_bavail * free.f_bsize)
            os.close(filler)


@row(
    26,
    "files",
    done="a disk fills up: checkpoint, result, log, features, and the output of every command",
    promise="one line with the path, last good kept",
)
@pytest.mark.parametrize("what", ["checkpoint", "result", "log"])
def test_full_disk(small_disk: Path, tmp_path: Path, what: str) -> None:
    config = fits(tmp_path, small_disk, what)
    config["trainer"]["callbacks"].insert(0, Fills(small_disk))
    with pytest.raises(AnyloomError) as caught:
        run("fit", config)
    assert str(small_disk) in str(caught.value)
    folder = small_disk / "ck" if what == "checkpoint" else tmp_path / "ck"
    good, damaged = newest_good(folder)
    assert good is not None
    assert not damaged
    assert CheckpointFiles().load_checkpoint(good)["global_step"] >= 3
    assert not (small_disk / "result" / "model.safetensors").exists()
    (small_disk / "filler").unlink()
    if what == "checkpoint":  # with room again, the run goes on from there
        config["trainer"]["callbacks"].pop(0)
        assert run("fit", {**config, "ckpt_path": "last"}).trainer.global_step == 6


@row(27, "files", done="outputs on a disk that is mounted for reading", promise="one line before the first step")
@pytest.mark.parametrize("what", ["checkpoint", "result", "log"])
def test_read_only_places(tmp_path: Path, what: str) -> None:
    (tmp_path / "run").mkdir()
    with mounted(tmp_path / "disk", "size=1m,ro") as disk:
        config = fits(tmp_path / "run", disk, what)
        with pytest.raises(AnyloomError, match="cannot be written") as caught:
            run("fit", config)
        assert str(disk) in str(caught.value)
    assert not list((tmp_path / "run").rglob("*.ckpt"))


@row(
    28,
    "files",
    done="a checkpoint with a flipped byte, a missing one, one of lightning 99",
    promise="refused by name; last goes back",
)
def test_damaged_checkpoints(tmp_path: Path) -> None:
    files = CheckpointFiles()
    for number in (1, 2):
        files.save_checkpoint(checkpoint(float(number)), tmp_path / f"{number}.ckpt")
    content = bytearray((tmp_path / "2.ckpt").read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "2.ckpt").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"2\.ckpt: the checkpoint is damaged"):
        files.load_checkpoint(tmp_path / "2.ckpt")
    with pytest.raises(CheckpointError, match="there is no such checkpoint"):
        files.load_checkpoint(tmp_path / "3.ckpt")
    assert newest_good(tmp_path) == (tmp_path / "1.ckpt", [tmp_path / "2.ckpt"])
    files.save_checkpoint(checkpoint(4.0) | {"pytorch-lightning_version": "99.0"}, tmp_path / "4.ckpt")
    with pytest.raises(CheckpointError, match=r"written by lightning 99\.0"):
        files.load_checkpoint(tmp_path / "4.ckpt")


class Poison(lightning.Callback):
    """Makes the loss of one batch NaN, or a hundred times larger."""

    def __init__(self, factor: float) -> None:
        self.factor = factor

    def on_before_backward(self, trainer: Any, module: Any, loss: Any) -> None:
        if trainer.global_step == 2 and trainer.fit_loop.epoch_loop.total_batch_idx == 2:
            loss.data.mul_(self.factor)


@row(
    31,
    "run",
    done="a loss that is NaN: stop, skip, roll back",
    promise="as the policy says; weights finite, samples named",
)
@pytest.mark.parametrize("policy", ["stop", "skip", "roll-back"])
def test_poisoned_step(tmp_path: Path, policy: str, capfd: pytest.CaptureFixture[str]) -> None:
    config = project(tmp_path / "run", max_steps=5)
    config["faults"] = {"non_finite": policy}
    config["trainer"]["callbacks"] = [Poison(float("nan")), saving(tmp_path / "run", every_n_train_steps=1)]
    if policy == "stop":
        with pytest.raises(NonFiniteError, match=r"^step 2: the loss is nan \(samples: .*train\.jsonl:\d\)"):
            run("fit", config)
    else:
        made = run("fit", config)
        assert all(bool(p.isfinite().all()) for p in made.model.parameters())
        assert "train.jsonl:" in capfd.readouterr().err
    kept = CheckpointFiles().load_checkpoint(tmp_path / "run" / "ck" / "last.ckpt")
    assert all(bool(t.isfinite().all()) for t in kept["state_dict"].values() if t.is_floating_point())


class NoMemory(lightning.Callback):
    """Lets the whole batch not fit into memory once."""

    def on_train_batch_start(self, trainer: Any, module: Any, batch: Any, batch_idx: int) -> None:
        if trainer.global_step == 1:
            splitter = module.splitter
            loss = splitter.loss

            def once(given: Any, loss_of: Any) -> Any:
                def full(part: Any) -> Any:
                    if len(part.samples) == len(given.samples):
                        raise torch.OutOfMemoryError("CUDA out of memory")
                    return loss_of(part)

                splitter.loss = loss
                return loss(given, full)

            splitter.loss = once


@row(
    32, "run", done="memory runs out in one step", promise="computed in halves, equal to 1e-6; else one line of advice"
)
@pytest.mark.parametrize("policy", ["split", "stop"])
def test_memory_runs_out(tmp_path: Path, policy: str) -> None:
    configs = []
    for name in ("plain", "split"):
        (tmp_path / name).mkdir()
        configs.append(sections(tmp_path / name, max_steps=3))
        for modality in configs[-1]["model"]["modalities"].values():
            modality["representation"]["feature_noise"] = 0.0  # halves would draw other noise than the whole
    plain, config = run("fit", configs[0]), configs[1]
    config["faults"] = {"out_of_memory": policy}
    config["trainer"]["callbacks"] = [NoMemory()]
    if policy == "stop":
        with pytest.raises(InterruptedRunError, match=r"does not fit into memory .*lower data\.batch_size"):
            run("fit", config)
        return
    split = run("fit", config).model.state_dict()
    for name, tensor in plain.model.state_dict().items():
        assert torch.allclose(split[name].double(), tensor.double(), atol=1e-6, rtol=1e-4), name


@pytest.mark.ddp
@pytest.mark.slow
@row(
    33,
    "run",
    done="one of two processes is stopped, or killed; torchrun starts both again",
    promise="the other ends; resumed",
)
@pytest.mark.parametrize("fault", ["SIGSTOP", "SIGKILL"])
def test_a_rank_gives_out(tmp_path: Path, fault: str) -> None:
    from core.training.test_processes import begun, rank_one, two
    from core.training.test_processes import ended as both_ended
    from core.training.test_processes import started as both_started

    config = two(tmp_path, max_steps=100_000, max_epochs=-1)
    config["faults"] = {"timeout": 20}
    with both_started(tmp_path, "fit", config) as process:
        begun(tmp_path, process)
        assert process.poll() is None, (tmp_path / "shown").read_text()
        os.kill(rank_one(process), getattr(signal, fault))
        status, text = both_ended(process, tmp_path, 120)
    assert status != 0
    assert "another process of this run ended or does not answer" in text, text
    assert "Traceback" not in text, text
    before = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)["global_step"]
    config["trainer"]["max_steps"] = before + 3
    write_config(tmp_path, {**config, "ckpt_path": "last"})
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "--max-restarts=1"]
    command = [*launcher, "-m", "anyloom.cli.main", "fit", str(tmp_path / "config.yaml")]
    tests = str(Path(__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": tests, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr
    assert torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] == before + 3


class KillsWorker(lightning.Callback):
    """Ends one data worker of the run at two steps."""

    def on_train_batch_start(self, trainer: Any, module: Any, batch: Any, batch_idx: int) -> None:
        if trainer.global_step in (2, 4):
            workers = trainer.datamodule.loaders["train"]._pool._workers
            os.kill(workers[0]._process.pid, signal.SIGKILL)


@row(
    34,
    "run",
    done="a data worker is killed, twice",
    promise="replaced; samples and weights are those of an unbroken run",
)
def test_a_worker_dies(tmp_path: Path) -> None:
    runs = []
    for name in ("whole", "cut"):
        config = project(tmp_path / name, max_steps=6)
        config["data"]["workers"] = 2
        config["trainer"]["callbacks"] = [KillsWorker()] if name == "cut" else []
        runs.append(run("fit", config))
    assert equal(runs[0].model, runs[1].model)
    assert values(tmp_path / "cut", "train/loss") == values(tmp_path / "whole", "train/loss")
