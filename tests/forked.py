"""Runs commands of ``anyloom`` in processes that are forked from one which has imported torch, lightning and the rest.

An interpreter that imports them takes five seconds; a test that is not about the start of a process need not pay them
for each of its commands. Each rank of a run comes from an interpreter of its own, so that the order of sets differs
between them as it does between processes that are started by hand. What a command does to its process ends with it.
"""

from __future__ import annotations

import atexit
import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

TESTS = Path(__file__).resolve().parent
IMPORTED = (
    "torch.distributed.fsdp",
    "torch.distributed.checkpoint",
    "transformers.modeling_utils",
    "transformers.processing_utils",
    "anyloom.training.run",
)


class Interpreter:
    """A process that has imported everything and forks one process per command."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).resolve())],
            env={**os.environ, "PYTHONPATH": str(TESTS), "OMP_NUM_THREADS": "1"},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        atexit.register(self.close)

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()

    def start(self, words: list[str], folder: Path, said: Path, prepare: str = "", **environment: str) -> None:
        """Fork a process that runs a command in a folder and writes what it prints, errors too, to a file.

        ``prepare`` is code that it runs before.
        """
        assert self._process.stdin is not None
        order: dict[str, Any] = {"words": words, "folder": str(folder), "said": str(said)}
        order |= {"prepare": prepare, "environment": environment}
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()

    def status(self) -> int:
        """Wait for the process and return its exit status, minus the signal's number where it was killed."""
        assert self._process.stdout is not None
        return int(self._process.stdout.readline())


@lru_cache
def interpreter(rank: int, group: int = 0) -> Interpreter:
    """The one that a rank's processes are forked from, which lives until the tests of this process end."""
    return Interpreter()


def anyloom(*words: str, folder: Path, processes: int = 1, group: int = 0) -> tuple[list[int], str]:
    """Run a command on some processes, as a cluster starts them; :func:`each_of` with one text for all."""
    statuses, texts = each_of([""] * processes, *words, folder=folder, group=group)
    return statuses, "".join(texts)


def each_of(prepare: Sequence[str], *words: str, folder: Path, group: int = 0) -> tuple[list[int], list[str]]:
    """Run a command on some processes, as a cluster starts them.

    Args:
        prepare: For each process the code that it runs before the command.
        words: After ``anyloom``.
        folder: Where it runs.
        group: Processes of another group come from other interpreters, with other seeds of Python's hashes.

    Returns:
        The exit status of each, and what each printed, errors too.
    """
    processes = len(prepare)
    ranks: list[dict[str, str]] = [{}]
    if processes > 1:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = str(free.getsockname()[1])
        shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": str(processes)}
        ranks = [{**shared, "RANK": str(r), "LOCAL_RANK": str(r)} for r in range(processes)]
    with tempfile.TemporaryDirectory() as kept:
        files = [Path(kept) / str(rank) for rank in range(processes)]
        for rank, environment in enumerate(ranks):
            interpreter(rank, group).start(list(words), folder, files[rank], prepare[rank], **environment)
        statuses = [interpreter(rank, group).status() for rank in range(processes)]
        return statuses, [file.read_text() for file in files]


def _next() -> list[str]:
    """In the interpreter: fork for one order after another; return, in the forked process, with its words."""
    for line in sys.stdin:
        order: dict[str, Any] = json.loads(line)
        child = os.fork()
        if child == 0:
            os.environ |= order["environment"]
            os.chdir(order["folder"])
            said = os.open(order["said"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            nothing = os.open(os.devnull, os.O_RDONLY)
            for new, old in ((nothing, 0), (said, 1), (said, 2)):
                os.dup2(new, old)
            exec(order["prepare"], {"__name__": "prepared"})
            words: list[str] = order["words"]
            return words
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
    sys.exit()


if __name__ == "__main__":
    import importlib
    import threading

    for name in IMPORTED:
        importlib.import_module(name)
    assert threading.active_count() == 1, "a thread would be lost in the forked processes"
    from anyloom.cli.main import main

    sys.argv = ["anyloom", *_next()]
    sys.exit(main())
