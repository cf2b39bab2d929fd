from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest
import torch

from anyloom.errors import CheckpointError
from anyloom.storage.atomic import remove_drafts, replacing, write_text
from anyloom.storage.folder import finish, replacing_folder
from anyloom.storage.hashes import listed, manifest, verify
from anyloom.storage.space import require_room
from anyloom.storage.tensors import read_tensors, write_tensors


class Killed(BaseException):
    """Stands for SIGKILL: no handler of OSError or Exception sees it."""


def full(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_a_new_file_has_the_permissions_of_the_umask(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        write_text(tmp_path / "a" / "text", "x")
        write_tensors({"w": torch.ones(1)}, tmp_path / "w.safetensors")
    finally:
        os.umask(before)
    for path in (tmp_path / "a" / "text", tmp_path / "w.safetensors"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~umask


@pytest.mark.parametrize("call", ["fsync", "replace", "write"])
def test_a_full_disk_leaves_the_old_file_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    write_text(tmp_path / "text", "old")
    if call == "fsync":
        monkeypatch.setattr(os, "fsync", full)
    else:
        monkeypatch.setattr(Path, "replace" if call == "replace" else "write_text", full)
    with pytest.raises(CheckpointError, match=r"text: cannot be written \(No space left on device\).*make room"):
        write_text(tmp_path / "text", "new")
    monkeypatch.undo()
    assert {p.name: p.read_text() for p in tmp_path.iterdir()} == {"text": "old"}


def test_what_a_killed_writer_left_is_swept_and_nothing_else(tmp_path: Path) -> None:
    write_text(tmp_path / "text", "kept")
    (tmp_path / ".text.abc.draft").write_text("half")
    remove_drafts(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["text"]


def result(folder: Path, word: str) -> None:
    with replacing_folder(folder) as draft:
        (draft / "config.json").write_text(word)
        (draft / "model.safetensors").write_text(word)
        (draft / "llm").mkdir()
        (draft / "llm" / f"{word}.json").write_text(word)


def state(folder: Path) -> set[str]:
    """The words that a reader of the folder meets."""
    finish(folder)
    return {p.read_text() for p in folder.rglob("*") if p.is_file() and p.name != "notes.txt"}


@pytest.mark.parametrize("point", range(12))
def test_a_save_killed_anywhere_leaves_the_old_result_or_the_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, point: int
) -> None:
    """The process ends at the n-th call that changes the disk; what another process finds then is one of the two."""
    result(tmp_path, "old")
    (tmp_path / "notes.txt").write_text("mine")
    calls = iter(range(100))

    def guarded(original: object) -> object:
        def wrapper(*args: object, **options: object) -> object:
            if next(calls) == point:
                raise Killed
            return original(*args, **options)  # type: ignore[operator]

        return wrapper

    with monkeypatch.context() as patch:
        for name in ("write_text", "rename", "replace", "rmdir"):
            patch.setattr(Path, name, guarded(getattr(Path, name)))
        try:
            result(tmp_path, "new")
            done = True
        except Killed:
            done = False
    found = state(tmp_path)
    assert found in ({"old"}, {"new"})
    assert not done or found == {"new"}
    assert (tmp_path / "notes.txt").read_text() == "mine"
    result(tmp_path, "newer")
    assert state(tmp_path) == {"newer"}
    assert {p.name for p in tmp_path.iterdir()} == {"config.json", "model.safetensors", "llm", "notes.txt"}


def test_the_points_above_reach_the_end_of_a_save(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    for name in ("write_text", "rename", "replace", "rmdir"):
        original = getattr(Path, name)
        monkeypatch.setattr(Path, name, lambda *a, _f=original, _n=name, **o: (calls.append(_n), _f(*a, **o))[1])
    result(tmp_path, "old")
    assert calls == ["write_text"] * 3 + ["rename"] + ["replace"] * 3 + ["rmdir"]


def test_room_and_permission_are_asked_for_before_anything_is_written(tmp_path: Path) -> None:
    require_room(tmp_path / "not" / "yet", 1)
    assert not (tmp_path / "not").exists()
    with pytest.raises(CheckpointError, match=r"GB are needed here, .* are free"):
        require_room(tmp_path, 2**62)
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match="cannot be written"):
        require_room(tmp_path / "file" / "below")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "does not list its files"),
        ({}, "does not list its files"),
        ([], "does not list its files"),
        ({"/etc/shadow": "0" * 64}, "not in its folder"),
        ({"../x": "0" * 64}, "not in its folder"),
        ({"a" * 300: "0" * 64}, "not in its folder"),
        ({"a/" * 3000: "0" * 64}, "not in its folder"),
        ({"\ud800": "0" * 64}, "not in its folder"),
        ({"a": 7}, "is 7"),
        ({"a": "0" * 63}, "SHA-256"),
        ({"b": "0" * 64}, "does not list 'a'"),
    ],
)
def test_a_list_of_hashes_is_required_and_stays_in_its_folder(value: object, message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        listed(value, where="config.json", needed=["a"])


def test_a_file_that_was_slipped_in_is_named(tmp_path: Path) -> None:
    (tmp_path / "llm").mkdir()
    (tmp_path / "llm" / "a.json").write_text("{}")
    hashes = manifest(tmp_path, [tmp_path / "llm"])
    verify(tmp_path, hashes, [tmp_path / "llm"])
    (tmp_path / "llm" / "added_tokens.json").write_text("{}")
    with pytest.raises(CheckpointError, match=r"added_tokens\.json.*does not list it"):
        verify(tmp_path, hashes, [tmp_path / "llm"])


def test_tied_tensors_are_written_and_others_are_not_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = torch.arange(6.0).reshape(2, 3)
    copies: list[tuple[int, ...]] = []
    original = torch.Tensor.clone
    monkeypatch.setattr(
        torch.Tensor, "clone", lambda t, *a, **o: (copies.append(tuple(t.shape)), original(t, *a, **o))[1]
    )
    write_tensors({"in": table, "out": table, "part": table[:1], "other": torch.ones(2)}, tmp_path / "w.safetensors")
    assert copies == [(2, 3), (1, 3)]
    monkeypatch.undo()
    found = read_tensors(tmp_path / "w.safetensors")
    assert found["out"].tolist() == table.tolist()
    assert found["part"].tolist() == table[:1].tolist()


def test_replacing_passes_other_errors_on(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), replacing(tmp_path / "x"):
        _ = 1 // 0
    assert not list(tmp_path.iterdir())
