"""Which checkpoint a run goes on from: ``ckpt_path`` in words, resolved to a file that is whole."""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from lightning.pytorch.callbacks import Callback, ModelCheckpoint

from anyloom.errors import AnyloomError, CheckpointError, ConfigError
from anyloom.training.checkpoint_files import newest_good, verify_checkpoint
from anyloom.training.console import tell

__all__ = ["checkpoint_folders", "resolved", "restoring_error"]

_WHERE: Final = "ckpt_path"
_IN_PROCESS: Final = ("best", "hpc")


def checkpoint_folders(callbacks: Sequence[Callback]) -> list[Path]:
    """The folders that the checkpoint callbacks of a config name.

    >>> folders = checkpoint_folders([ModelCheckpoint(dirpath="runs/mine")])
    >>> [folder.name for folder in folders]
    ['mine']
    """
    return [Path(c.dirpath) for c in callbacks if isinstance(c, ModelCheckpoint) and c.dirpath is not None]


def resolved(path: str | None, callbacks: Sequence[Callback], *, verify: bool = True) -> str | None:
    """The file to go on from; None to begin anew.

    ``last`` is the newest checkpoint that is whole: one that was damaged by a crash or a full disk is named and passed
    over. Before the first checkpoint there is none, and training begins, so that one command line serves a job that is
    started again and again.

    Args:
        path: ``ckpt_path`` of the config.
        callbacks: The trainer's.
        verify: Look into the files. Where all processes take the first one's choice, that one looks for all.

    Raises:
        anyloom.errors.ConfigError: It cannot mean a checkpoint here.
        anyloom.errors.CheckpointError: The file is not there or damaged, or all are.
    """
    if path is None:
        return None
    if path == "last":
        return _last(callbacks, verify=verify)
    if path in _IN_PROCESS or path.startswith("registry") or "://" in path:
        raise ConfigError(
            f"{path!r} is no checkpoint on this disk", where=_WHERE, fix="give a file, or 'last' for the newest one"
        )
    if not Path(path).exists():
        raise ConfigError(
            f"there is no checkpoint {path!r}", where=_WHERE, fix="give a file, or 'last' for the newest one"
        )
    if verify:
        verify_checkpoint(Path(path))
    return path


def _last(callbacks: Sequence[Callback], *, verify: bool) -> str | None:
    folders = checkpoint_folders(callbacks)
    if not folders:
        raise ConfigError(
            "'last' needs a folder of checkpoints, and none is named",
            where=_WHERE,
            fix="add a ModelCheckpoint with a dirpath to trainer.callbacks, or give a file",
        )
    if not verify:
        there = [path for folder in folders for path in folder.glob("*.ckpt")]
        return str(there[0]) if there else None
    found: list[Path] = []
    damaged: list[Path] = []
    for folder in folders:
        good, bad = newest_good(folder)
        found += [] if good is None else [good]
        damaged += bad
    if damaged and not found:
        raise CheckpointError(
            f"all {len(damaged)} checkpoints are damaged",
            where=str(damaged[0].parent),
            fix="restore one from a copy, or move them away to begin anew",
        )
    if not found:
        tell(f"note: no checkpoint in {folders[0]} yet; training begins anew")
        return None
    newest = max(found, key=lambda p: p.stat().st_mtime_ns)
    for path in damaged:
        tell(f"note: {path} is damaged; going on from {newest}")
    return str(newest)


def restoring_error(error: BaseException, path: str | None) -> AnyloomError | None:
    """The clear form of an exception that lightning raised while it restored a checkpoint; None for any other."""
    if path is None or isinstance(error, AnyloomError) or not isinstance(error, Exception):
        return None
    frames = traceback.extract_tb(error.__traceback__)
    if not any(f.filename.endswith("checkpoint_connector.py") and f.name.startswith("re") for f in frames):
        return None
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    reason = " ".join(lines[:2]) if lines else type(error).__name__
    return CheckpointError(
        f"it does not belong to this config ({reason[:300]})",
        where=path,
        fix="resume with the config it was written with; to use its model elsewhere, name its result in start_from",
    )
