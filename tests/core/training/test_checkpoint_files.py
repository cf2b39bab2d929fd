"""Checkpoints on disk: whole or not at all, verified, and one clear line for each that cannot be used."""

from __future__ import annotations

import copy
import hashlib
import os
import pickle
import random
import resource
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from anyloom.errors import AnyloomError, CheckpointError, ConfigError
from anyloom.training.checkpoint_files import CheckpointFiles, newest_good, verify_checkpoint
from anyloom.training.run import run
from projects import sections

CHECKPOINT = "lightning.pytorch.callbacks.ModelCheckpoint"
CONTENT = {"state_dict": {"w": torch.arange(1000.0)}, "pytorch-lightning_version": "2.6.6", "epoch": 0}


def write(path: Path, value: float = 1.0) -> Path:
    CheckpointFiles().save_checkpoint({**CONTENT, "state_dict": {"w": torch.full((1000,), value)}}, path)
    return path


def value(path: Path) -> float:
    return float(CheckpointFiles().load_checkpoint(path)["state_dict"]["w"][0])


def test_a_checkpoint_lies_beside_the_sum_that_sha256sum_prints(tmp_path: Path) -> None:
    path = write(tmp_path / "folder" / "last.ckpt")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert path.with_name("last.ckpt.sha256").read_text() == f"{digest}  last.ckpt\n"
    assert sorted(p.name for p in path.parent.iterdir()) == ["last.ckpt", "last.ckpt.sha256"]
    CheckpointFiles().remove_checkpoint(path)
    assert not list(path.parent.iterdir())


class Killed(BaseException):
    """Stands for SIGKILL."""


@pytest.mark.parametrize("point", range(6))
def test_a_writer_killed_anywhere_leaves_a_checkpoint_that_loads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, point: int
) -> None:
    """The points are: torch.save, and the renames and flushes of the sums and of the file."""
    path = write(tmp_path / "last.ckpt", 1.0)
    calls = iter(range(100))

    def guarded(original: Any) -> Any:
        def wrapper(*args: Any, **options: Any) -> Any:
            if next(calls) == point:
                raise Killed
            return original(*args, **options)

        return wrapper

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", guarded(torch.save))
        patch.setattr(Path, "replace", guarded(Path.replace))
        patch.setattr(Path, "write_text", guarded(Path.write_text))
        try:
            write(path, 2.0)
        except Killed:
            assert value(path) in (1.0, 2.0)
        else:
            assert value(path) == 2.0
    assert value(write(path, 3.0)) == 3.0


def test_every_flipped_bit_is_noticed(tmp_path: Path) -> None:
    path = write(tmp_path / "last.ckpt")
    content = path.read_bytes()
    draw = random.Random(0)
    for _ in range(60):
        flipped = bytearray(content)
        flipped[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
        path.write_bytes(flipped)
        with pytest.raises(CheckpointError, match="damaged"):
            verify_checkpoint(path)


def test_without_a_sum_the_archive_s_own_tell_flipped_values(tmp_path: Path) -> None:
    path = tmp_path / "foreign.ckpt"
    torch.save(CONTENT, path)
    assert value(path) == 0.0
    with zipfile.ZipFile(path) as archive:
        largest = max(archive.infolist(), key=lambda entry: entry.file_size)
    content = bytearray(path.read_bytes())
    content[largest.header_offset + 500] ^= 1
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="damaged"):
        verify_checkpoint(path)


def test_an_archive_that_cannot_be_inflated_is_damaged(tmp_path: Path) -> None:
    """torch stores its records; one that says it is compressed made zlib raise an error of its own."""
    path = tmp_path / "a.ckpt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("data.pkl", bytes(5000))
    content = bytearray(path.read_bytes())
    at = 30 + len("data.pkl")
    content[at : at + 4] = b"\xff\xff\xff\xff"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="damaged"):
        CheckpointFiles().load_checkpoint(path)


def test_the_newest_good_one_is_found(tmp_path: Path) -> None:
    for step in range(3):
        os.utime(write(tmp_path / f"{step}.ckpt", step), ns=(step, step))
    assert newest_good(tmp_path) == (tmp_path / "2.ckpt", [])
    (tmp_path / "2.ckpt").write_bytes((tmp_path / "2.ckpt").read_bytes()[:-100])
    os.utime(tmp_path / "2.ckpt", ns=(2, 2))
    assert newest_good(tmp_path) == (tmp_path / "1.ckpt", [tmp_path / "2.ckpt"])
    assert newest_good(tmp_path / "none") == (None, [])


def test_a_file_that_may_not_grow_keeps_the_checkpoint_before(tmp_path: Path) -> None:
    """The kernel refuses to write beyond a limit, as on a full disk."""
    path = write(tmp_path / "last.ckpt", 1.0)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))
    try:
        with pytest.raises(CheckpointError, match=r"last\.ckpt: cannot be written .*make room"):
            write(path, 2.0)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert value(path) == 1.0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["last.ckpt", "last.ckpt.sha256"]


def test_waiting_goes_on_when_there_is_room_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    monkeypatch.setattr("time.sleep", lambda _: resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard)))
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))
    try:
        CheckpointFiles("wait", 60).save_checkpoint(CONTENT, tmp_path / "last.ckpt")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "waiting for room" in capsys.readouterr().err
    assert value(tmp_path / "last.ckpt") == 0.0


class Canary:
    def __reduce__(self) -> Any:
        return os.mkdir, ("canary",)


def checkpointed(folder: Path, **more: Any) -> dict[str, Any]:
    config = sections(folder, max_steps=2)
    options = {"dirpath": str(folder / "checkpoints"), "every_n_train_steps": 1, "save_last": True}
    config["trainer"]["callbacks"] = [{"class_path": CHECKPOINT, "init_args": options}]
    return config | more


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], dict[str, Any]]:
    """A project that was trained for two steps, and the content of its checkpoint."""
    folder = tmp_path_factory.mktemp("fitted")
    config = checkpointed(folder)
    run("fit", copy.deepcopy(config))
    content = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    config["trainer"]["max_steps"] = 3
    return config, content


def without(*keys: str) -> Any:
    return lambda c: {k: v for k, v in c.items() if k not in keys}


def with_state(change: Any) -> Any:
    return lambda c: {**c, "state_dict": change(dict(c["state_dict"]))}


FIRST = "model.parts.encoders.eye.linear.weight"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without("state_dict"), "no state_dict"),
        (lambda c: [1, 2], "no state_dict"),
        (lambda c: {**c, "state_dict": {"a": 1}}, "no state_dict"),
        (lambda c: {**c, "pytorch-lightning_version": "99.0.0"}, "lightning 99"),
        (without("pytorch-lightning_version"), "unknown"),
        (without("loops"), "not the state of a training run"),
        (without("optimizer_states"), "not the state of a training run"),
        (lambda c: {**c, "random_state": [{"torch": 1}]}, "random_state is broken"),
        (with_state(lambda s: {k: v for k, v in s.items() if k != FIRST}), "does not belong to this config.*Missing"),
        (with_state(lambda s: {**s, "more": torch.ones(1)}), "does not belong to this config.*Unexpected"),
        (with_state(lambda s: {**s, FIRST: torch.ones(3)}), "does not belong to this config"),
        (with_state(lambda s: {**s, FIRST: s[FIRST] * float("nan")}), "not finite"),
        (lambda c: {**c, "optimizer_states": [{"state": {}, "param_groups": []}]}, "does not belong to this config"),
        (lambda c: {**c, "optimizer_states": 7}, "does not belong to this config"),
        (lambda c: {**c, "loops": {}}, "does not belong to this config"),
        (lambda c: {**c, "canary": Canary()}, "cannot be read safely|can be read safely"),
    ],
)
def test_a_checkpoint_that_cannot_be_gone_on_from_is_one_error(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    fitted: tuple[dict[str, Any], dict[str, Any]],
    change: Any,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    config, content = fitted
    torch.save(change(dict(content)), tmp_path / "changed.ckpt")
    with pytest.raises(AnyloomError, match=f"(?s){message}"):
        run("fit", {**config, "ckpt_path": str(tmp_path / "changed.ckpt")})
    assert not (tmp_path / "canary").exists()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: p.write_bytes(b""), "damaged"),
        (lambda p: p.write_bytes(b"PK\3\4" + b"0" * 100), "damaged"),
        (lambda p: p.write_bytes(pickle.dumps({"state_dict": {}})), "damaged"),
        (lambda p: None, "no checkpoint"),
    ],
)
def test_a_file_that_is_no_checkpoint_is_one_error(
    tmp_path: Path, fitted: tuple[dict[str, Any], dict[str, Any]], make: Any, message: str
) -> None:
    make(tmp_path / "x.ckpt")
    with pytest.raises(AnyloomError, match=message):
        run("fit", {**fitted[0], "ckpt_path": str(tmp_path / "x.ckpt")})


@pytest.mark.parametrize("word", ["best", "hpc", "registry:model", "https://example.org/x.ckpt", "s3://bucket/x.ckpt"])
def test_words_and_addresses_are_one_error(fitted: tuple[dict[str, Any], dict[str, Any]], word: str) -> None:
    with pytest.raises(ConfigError, match=r"ckpt_path.*no checkpoint on this disk"):
        run("fit", {**fitted[0], "ckpt_path": word})


def test_last_falls_back_says_so_and_begins_anew_where_there_is_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = checkpointed(tmp_path, ckpt_path="last")
    folder = tmp_path / "checkpoints"
    assert run("fit", copy.deepcopy(config)).trainer.global_step == 2
    assert "no checkpoint in" in capsys.readouterr().err
    config["trainer"]["max_steps"] = 3
    whole = (folder / "last.ckpt").read_bytes()
    (folder / "last.ckpt").write_bytes(whole[:100_000])
    assert run("fit", copy.deepcopy(config)).trainer.global_step == 3
    text = capsys.readouterr().err
    assert "last.ckpt is damaged; going on from" in text
    assert "step=2.ckpt" in text
    for path in folder.glob("*.ckpt"):
        path.write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"all .* checkpoints are damaged"):
        run("fit", copy.deepcopy(config))
    config["trainer"]["callbacks"] = []
    with pytest.raises(ConfigError, match="'last' needs a folder"):
        run("fit", config)


def test_checkpoints_can_be_written_in_the_background(tmp_path: Path) -> None:
    config = checkpointed(tmp_path)
    config["trainer"]["plugins"] = [{"class_path": "lightning.pytorch.plugins.io.AsyncCheckpointIO"}]
    weights = run("fit", copy.deepcopy(config)).model.state_dict()
    verify_checkpoint(tmp_path / "checkpoints" / "last.ckpt")
    assert (tmp_path / "checkpoints" / "last.ckpt.sha256").is_file()
    kept = CheckpointFiles().load_checkpoint(tmp_path / "checkpoints" / "last.ckpt")["state_dict"]
    assert all(torch.equal(weights[name], tensor) for name, tensor in kept.items())
