from __future__ import annotations

import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest
import torch

from anyloom import Conversation, Message
from anyloom.data.loader import ResumableLoader
from anyloom.data.pinning import pinned
from anyloom.errors import AnyloomError
from anyloom.interfaces import Sample

SAMPLES = [Sample(Conversation([Message("user", str(i))]), "t") for i in range(40)]


def pid(samples: list[Sample]) -> int:
    return os.getpid()


def pid_and_names(samples: list[Sample]) -> tuple[int, list[str]]:
    return os.getpid(), [s.conversation.messages[0].text for s in samples]


def suicide(samples: list[Sample]) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def bug(samples: list[Sample]) -> None:
    raise KeyError("a bug of a plugin")


def tensors(samples: list[Sample]) -> list[torch.Tensor]:
    return [torch.full((300, 300), float(s.conversation.messages[0].text)) for s in samples]


def test_a_task_that_no_worker_survives_gives_one_clear_error() -> None:
    loader = ResumableLoader(lambda epoch: SAMPLES, suicide, 4, workers=2)
    with pytest.raises(AnyloomError, match=r"^data\.workers: 3 data workers were ended .* while it read position \d+,"):
        list(loader)
    loader.close()


class KilledOnce:
    """Makes tensors; ends its process at some samples, the first time that they come."""

    def __init__(self, folder: Path, at: set[str]) -> None:
        self.folder, self.at = folder, at

    def __call__(self, samples: list[Sample]) -> list[torch.Tensor]:
        for name in {s.conversation.messages[0].text for s in samples} & self.at:
            if not (self.folder / name).exists():
                (self.folder / name).touch()
                os.kill(os.getpid(), signal.SIGKILL)
        return tensors(samples)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_worker_that_is_killed_is_replaced_and_nothing_is_lost(
    tmp_path: Path, workers: int, capfd: pytest.CaptureFixture[str]
) -> None:
    loader = ResumableLoader(lambda epoch: SAMPLES, tensors, 4, workers=workers, prefetch=3, seed=5)
    expected = [[float(t.mean()) for t in batch] for batch in loader]
    loader.close()
    killed = KilledOnce(tmp_path, {"3", "17", "38"})
    loader = ResumableLoader(lambda epoch: SAMPLES, killed, 4, workers=workers, prefetch=3, seed=5)
    assert [[float(t.mean()) for t in batch] for batch in loader] == expected
    assert capfd.readouterr().err.count("another takes its place") == 3
    assert loader.ledger.total() == {"read": 40, "used": 40, "cut": 0, "skipped": {}}
    loader.close()


def test_workers_killed_from_outside_between_batches_lose_nothing() -> None:
    loader = ResumableLoader(lambda epoch: SAMPLES, pid_and_names, 4, workers=2, shuffle=False)
    names = []
    for number, (process, some) in enumerate(loader):
        names += some
        if number in (2, 5):
            os.kill(process, signal.SIGKILL)
    assert names == [str(n) for n in range(40)]
    loader.close()


def test_a_bug_in_a_worker_keeps_its_type_and_its_traceback() -> None:
    loader = ResumableLoader(lambda epoch: SAMPLES, bug, 4, workers=1)
    with pytest.raises(KeyError) as caught:
        list(loader)
    assert "in bug" in caught.value.__notes__[0]
    loader.close()


def test_large_batches_come_whole_and_in_order() -> None:
    loader = ResumableLoader(lambda epoch: SAMPLES, tensors, 4, workers=3, shuffle=False, prefetch=4)
    found = [float(t.mean()) for batch in loader for t in batch]
    assert found == list(map(float, range(40)))
    loader.close()


@pytest.mark.parametrize("persistent", [True, False])
def test_workers_live_from_pass_to_pass_if_they_should(persistent: bool) -> None:
    loader = ResumableLoader(lambda epoch: SAMPLES, pid, 4, workers=2, persistent=persistent)
    first, second = set(loader), set(loader)
    assert len(first) == len(second) == 2
    assert os.getpid() not in first
    assert (first == second) is persistent
    loader.close()
    deadline = time.monotonic() + 20
    while any(alive(p) for p in first | second):
        assert time.monotonic() < deadline


def read_and_wait(path: Path) -> None:
    loader = ResumableLoader(lambda epoch: SAMPLES, pid, 4, workers=2)
    path.write_text(" ".join(map(str, set(loader))))
    time.sleep(60)


def test_workers_end_with_a_process_that_is_killed(tmp_path: Path) -> None:
    process = multiprocessing.get_context("fork").Process(target=read_and_wait, args=(tmp_path / "pids",))
    process.start()
    while not (tmp_path / "pids").exists() or not (tmp_path / "pids").read_text():
        time.sleep(0.05)
    workers = list(map(int, (tmp_path / "pids").read_text().split()))
    assert all(alive(p) for p in workers)
    os.kill(process.pid or 0, signal.SIGKILL)
    process.join()
    deadline = time.monotonic() + 20
    while any(alive(p) for p in workers):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and was not waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_pinning_leaves_what_is_no_tensor_as_it_is() -> None:
    assert pinned({"a": [1, "b", None], "c": (2.0,)}) == {"a": [1, "b", None], "c": (2.0,)}
