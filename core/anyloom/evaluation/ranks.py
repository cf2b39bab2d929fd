"""Processes that answer the questions of one suite together, as torchrun starts them.

Each answers whole batches of its own and keeps the answers in the folder of the evaluation; the first process then
scores everything, as it would after a run of its own that was cut off. So no value depends on how many there were.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Self, TypeVar

from anyloom.errors import AnyloomError, ConfigError

__all__ = ["Ranks"]

T = TypeVar("T")
_NEEDED: Final = ("RANK", "MASTER_ADDR", "MASTER_PORT")
_PATIENCE: Final = timedelta(days=30)
"""One process may have far more to do than another; one that ends is noticed at once."""


@dataclass(frozen=True)
class Ranks:
    """This process among those that were started together.

    Args:
        rank: Its number, from 0.
        count: How many there are.

    >>> Ranks().first, Ranks(rank=1, count=2).first
    (True, False)
    """

    rank: int = 0
    count: int = 1

    @classmethod
    def of_environment(cls) -> Self:
        """Read what torchrun sets; a process that was started alone is the only one.

        Raises:
            anyloom.errors.ConfigError: Several are announced and a variable is missing or no number.
        """
        try:
            count = int(os.environ.get("WORLD_SIZE", "1"))
            if count <= 1:
                return cls()
            rank, _, _ = (os.environ[name] for name in _NEEDED)
            if 0 <= int(rank) < count:
                return cls(int(rank), count)
        except (KeyError, ValueError):
            pass
        raise ConfigError(
            "this process cannot tell which one of several it is",
            where=", ".join(("WORLD_SIZE", *_NEEDED)),
            fix="start it with torchrun, which sets these variables, or unset WORLD_SIZE",
        )

    @property
    def first(self) -> bool:
        """Whether this is the one that scores and writes."""
        return self.rank == 0

    def take_device(self) -> None:
        """Make ``cuda`` without a number the device of this process, where the machine has several."""
        import torch

        if self.count > 1 and torch.accelerator.is_available():
            local = int(os.environ.get("LOCAL_RANK", "0"))
            torch.accelerator.set_device_index(local % torch.accelerator.device_count())

    @contextmanager
    def together(self) -> Iterator[None]:
        """Inside it the processes can hear each other; all of them enter, and leave together.

        Raises:
            anyloom.errors.AnyloomError: They do not find each other, or one has ended.
        """
        if self.count == 1:
            yield
            return
        import torch.distributed as dist

        try:
            with _hearing():
                dist.init_process_group("gloo", timeout=_PATIENCE)
            yield
            with _hearing():  # a process that left first would close connections that are still read from
                dist.barrier()
        finally:
            if dist.is_initialized():
                dist.destroy_process_group()

    def gathered(self, value: T) -> list[T]:
        """A picklable value of every process, by rank; inside :meth:`together`.

        Raises:
            anyloom.errors.AnyloomError: Another process has ended.
        """
        from anyloom.evaluation.measure import gathered

        with _hearing():
            return gathered(value)


@contextmanager
def _hearing() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:  # torch's own errors of connections are such, too
        raise AnyloomError(
            f"the processes cannot hear each other any more ({(str(error).splitlines() or [''])[0]})",
            where="anyloom evaluate",
            fix="look at what the others say; the same command goes on where they stopped",
        ) from error
