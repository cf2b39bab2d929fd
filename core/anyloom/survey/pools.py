"""Where shards are made: in this process, in processes of this machine, or by Ray Data."""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal

from anyloom.errors import AnyloomError, CheckpointError, PluginError

__all__ = ["Pool", "made_by"]

Pool = Literal["processes", "ray"]
Make = Callable[[int], None]


def made_by(pool: Pool, make: Make, numbers: Sequence[int], workers: int) -> Iterator[int]:
    """Make things that have a number, and yield each number once its thing is there, in any order.

    Args:
        pool: Where.
        make: Makes one; picklable, and whole or not at all.
        numbers: What to make.
        workers: How many at once.

    Raises:
        anyloom.errors.PluginError: Ray is wanted and not installed.
        anyloom.errors.AnyloomError: What ``make`` raises.

    >>> list(made_by("processes", print, [], workers=1))  # nothing to make
    []
    """
    return _POOLS[pool](make, numbers, workers) if numbers else iter(())


def _by_processes(make: Make, numbers: Sequence[int], workers: int) -> Iterator[int]:
    told = partial(_telling, make)
    if workers == 1 or len(numbers) == 1:
        yield from map(told, numbers)
        return
    # started anew, not forked: the parent may hold threads and locks of torch
    with multiprocessing.get_context("spawn").Pool(min(workers, len(numbers))) as pool:
        yield from pool.imap_unordered(told, numbers)


def _telling(make: Make, number: int) -> int:
    make(number)
    return number


def _by_ray(make: Make, numbers: Sequence[int], workers: int) -> Iterator[int]:
    """A task a number; Ray is started on this machine unless the program has started it, and is then left running."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is told to anybody without being asked for
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise PluginError("Ray is not installed", where="--pool ray", fix="pip install 'anyloom[ray]'") from error
    row = partial(_of_row, make, Path.cwd())
    with contextlib.ExitStack() as stack:
        if not ray.is_initialized():
            quiet = {"include_dashboard": False, "log_to_driver": False, "logging_level": logging.ERROR}
            ray.init(address="local", num_cpus=workers, **quiet)
            stack.callback(ray.shutdown)
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        context.raise_original_map_exception = True
        logging.getLogger("ray.data").setLevel(logging.CRITICAL)  # what goes wrong is told by the error below
        items = ray.data.from_items([{"number": n} for n in numbers], override_num_blocks=len(numbers))
        try:
            for done in items.map(row, num_cpus=1, concurrency=min(workers, len(numbers))).iter_rows():
                yield int(done["number"])
        except ray.exceptions.RayError as error:
            raise _ours(error) from error


def _of_row(make: Make, folder: Path, row: Mapping[str, Any]) -> dict[str, int]:
    os.chdir(folder)  # paths of a config may be relative to where the command was given
    return {"number": _telling(make, int(row["number"]))}


def _ours(error: BaseException | None) -> AnyloomError:
    """The error of ours that Ray has wrapped; one that says what happened where there is none."""
    inner, what = error, str(error).strip().splitlines()[-1:]
    for _ in range(10):
        # Ray's own error may be of our class too, and lacks what ours holds
        wrapped = getattr(inner, "cause", None) or getattr(inner, "__cause__", None)
        if wrapped is None:
            break
        inner = wrapped
    if isinstance(inner, AnyloomError):
        return inner
    return CheckpointError(
        f"Ray could not make a shard ({what[0] if what else type(error).__name__})",
        where="--pool ray",
        fix="start it again: it goes on with the shards that are missing",
    )


_POOLS: Final[Mapping[Pool, Callable[[Make, Sequence[int], int], Iterator[int]]]] = {
    "processes": _by_processes,
    "ray": _by_ray,
}
