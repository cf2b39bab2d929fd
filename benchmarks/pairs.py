"""Times two functions in turns and prints the ratio of their CPU seconds."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch

__all__ = ["compare"]


def compare(name: str, a: Callable[[], object], b: Callable[[], object], *, rounds: int = 7) -> float:
    """Run A, B, A, B, ... on one thread; returns and prints median(A) / median(B) of the CPU seconds.

    Args:
        name: What is compared.
        a: First way.
        b: Second way.
        rounds: Runs of each, after one that does not count.
    """
    torch.set_num_threads(1)
    seconds: dict[str, list[float]] = {"a": [], "b": []}
    for turn in range(rounds + 1):
        for key, function in (("a", a), ("b", b)):
            start = time.process_time()
            function()
            if turn:
                seconds[key].append(time.process_time() - start)
    first, second = (statistics.median(seconds[k]) for k in ("a", "b"))
    spread = max(max(v) / min(v) for v in seconds.values())
    print(f"{name}: A {first:.3f} s, B {second:.3f} s, A / B = {first / second:.2f} (largest spread {spread:.2f})")
    return first / second
