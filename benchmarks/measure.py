"""Two ways to do the same thing, timed in turns on one thread; and the row that says what came out."""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT / "tests"))


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Args:
        name: What is measured.
        peer: What it is compared with; empty for a value of its own.
        ratio: The number.
        goal: What it should be; None where nobody said.
        better: ``higher`` or ``lower``.
        unit: ``x`` for a ratio.
        note: Equal losses, sizes, what the peer leaves out.
        versions: Of the peer's package.
    """

    name: str
    peer: str
    ratio: float
    goal: float | None
    better: str = "higher"
    unit: str = "x"
    note: str = ""
    versions: dict[str, str] = field(default_factory=dict)

    @property
    def met(self) -> bool | None:
        """Whether the goal is reached; None where there is none."""
        if self.goal is None:
            return None
        return self.ratio >= self.goal if self.better == "higher" else self.ratio <= self.goal


def in_turns(a: Callable[[], object], b: Callable[[], object], rounds: int) -> float:
    """Median of CPU seconds of B over those of A, taken A, B, A, B, ...; above 1 means that A is faster.

    What is only done once is done before, but for a single round, whose number is rough anyway.
    """
    torch.set_num_threads(1)
    if rounds > 1:
        a(), b()
    return statistics.median([_ratio(a, b) for _ in range(rounds)])


def _ratio(a: Callable[[], object], b: Callable[[], object]) -> float:
    first = cpu(a)
    return cpu(b) / first


def rates_in_turns(a: Callable[[], float], b: Callable[[], float], rounds: int) -> float:
    """Median of A's work per CPU second over B's, taken A, B, A, B, ...; both return how much they have done."""
    torch.set_num_threads(1)
    a(), b()
    return statistics.median([_rate(a) / _rate(b) for _ in range(rounds)])


def _rate(work: Callable[[], float]) -> float:
    began = time.process_time()
    done = work()
    return done / (time.process_time() - began)


def cpu(work: Callable[[], object]) -> float:
    """CPU seconds of this process."""
    began = time.process_time()
    work()
    return time.process_time() - began


def child(command: list[str], said: str = "") -> float:
    """CPU seconds of a command that reads what is said to it."""
    import resource
    import subprocess

    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run(command, check=True, capture_output=True, env=environment, input=said.encode())
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def versions(*names: str) -> dict[str, str]:
    """Installed versions."""
    return {name: version(name) for name in ("torch", *names)}


Rows = Iterator[Row]
