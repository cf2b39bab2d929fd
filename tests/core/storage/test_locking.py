"""One writer per place: by a hidden file for commands, by the folder itself where files are exchanged."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

import pytest

from anyloom.storage.folder import finish, replacing_folder
from anyloom.storage.locking import InUseError, locked, moving


def test_where_the_folder_above_may_not_be_written_the_lock_lies_inside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with a volume that is mounted into a container at its root."""
    (tmp_path / "out").mkdir()
    access = os.access
    monkeypatch.setattr(os, "access", lambda place, mode: Path(place) != tmp_path and access(place, mode))
    with locked(tmp_path / "out"):
        assert [p.name for p in tmp_path.rglob("*")] == ["out", ".lock"]
        with (
            pytest.raises(InUseError, match=rf"another run writes here \(process {os.getpid()} on"),
            locked(tmp_path / "out"),
        ):
            pass
    assert not list((tmp_path / "out").iterdir())


def test_two_savers_of_one_folder_do_not_mix_their_files(tmp_path: Path) -> None:
    with replacing_folder(tmp_path / "m") as draft:
        (draft / "config.json").write_text("first")
        with pytest.raises(InUseError, match="it is saving"), replacing_folder(tmp_path / "m"):
            pass
        assert (draft / "config.json").read_text() == "first", "the second has swept nothing away"
    assert {p.name: p.read_text() for p in (tmp_path / "m").iterdir()} == {"config.json": "first"}


def test_a_killed_saver_keeps_nobody_out_and_a_reader_waits_for_one_that_is_at_work(tmp_path: Path) -> None:
    (tmp_path / ".saved").mkdir()
    (tmp_path / ".saved" / "config.json").write_text("new")
    child = os.fork()
    if child == 0:  # has the lock, and is killed with it
        with moving(tmp_path):
            (tmp_path / "taken").touch()
            os.kill(os.getpid(), 9)
    os.waitpid(child, 0)
    assert (tmp_path / "taken").exists()
    finish(tmp_path)
    assert (tmp_path / "config.json").read_text() == "new"


def test_workers_of_a_run_that_was_killed_keep_nobody_out(tmp_path: Path) -> None:
    """A process has the lock, forks another one and is killed; the forked one lives on."""
    reading, writing = os.pipe()
    owner = os.fork()
    if owner == 0:
        with locked(tmp_path / "run"), moving(tmp_path):
            if os.fork() == 0:
                os.write(writing, str(os.getpid()).encode())
            time.sleep(60)
            os._exit(0)
    worker = int(os.read(reading, 100))
    os.kill(owner, signal.SIGKILL)
    os.waitpid(owner, 0)
    try:
        os.kill(worker, 0)  # it is there
        with locked(tmp_path / "run"), moving(tmp_path):
            pass
    finally:
        os.kill(worker, signal.SIGKILL)


def test_a_forked_process_leaves_the_lock_to_its_owner(tmp_path: Path) -> None:
    with locked(tmp_path / "run"):
        child = os.fork()
        if child == 0:
            try:
                with suppress(InUseError), locked(tmp_path / "run"):
                    os._exit(1)  # it must not get it
                os._exit(0)
            finally:
                os._exit(2)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        with pytest.raises(InUseError), locked(tmp_path / "run"):
            pass
