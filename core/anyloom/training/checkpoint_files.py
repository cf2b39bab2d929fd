"""Checkpoints as files: written whole or not at all, with their SHA-256, and verified before they are read.

``last.ckpt`` has ``last.ckpt.sha256`` beside it. A checkpoint without one (of another program) is verified by the sums
that its zip archive holds; one that is a folder of shards, by its own list. Only tensors and plain containers are
read, never a pickled object.
"""

from __future__ import annotations

import errno
import pickle
import shutil
import time
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, Literal

import lightning
import torch
from lightning.fabric.plugins import CheckpointIO
from torch.distributed.tensor import DTensor

from anyloom.errors import CheckpointError
from anyloom.storage.atomic import file_error, replacing, write_text
from anyloom.storage.hashes import sha256
from anyloom.storage.tensors import non_finite
from anyloom.training.console import tell
from anyloom.training.shard_files import TRAINER, read_whole, verify_shards

__all__ = ["CheckpointFiles", "checked", "newest_good", "read_file", "verify_checkpoint"]

_PAUSE: Final = 5.0  # seconds between two tries to write on a full disk


class CheckpointFiles(CheckpointIO):
    """Lightning's way to write and read checkpoints.

    Args:
        disk_full: What to do where a checkpoint cannot be written: ``stop`` the run, or ``wait`` for room.
        patience: Longest wait in seconds.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "last.ckpt"
    ...     content = {"state_dict": {"w": torch.ones(2)}, "pytorch-lightning_version": "2.0"}
    ...     CheckpointFiles().save_checkpoint(content, path)
    ...     CheckpointFiles().load_checkpoint(path)["state_dict"]
    {'w': tensor([1., 1.])}
    """

    def __init__(self, disk_full: Literal["stop", "wait"] = "stop", patience: float = 600.0) -> None:
        self.patience = patience if disk_full == "wait" else 0.0

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write a checkpoint beside its place, then put it there; the one before stays until then.

        Raises:
            anyloom.errors.CheckpointError: It cannot be written, and waiting did not help.
        """
        del storage_options
        end = time.monotonic() + self.patience
        while True:
            try:
                return _save(checkpoint, Path(path))
            except CheckpointError as error:
                if time.monotonic() + _PAUSE > end:
                    raise
                tell(f"waiting for room: {error}")
                time.sleep(_PAUSE)

    def load_checkpoint(
        self, path: Any, map_location: Callable[..., Any] | None = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Verify and read a checkpoint.

        Raises:
            anyloom.errors.CheckpointError: It is not there, damaged, not a checkpoint of a trainer, of a newer one, or
                holds values that are not finite.
        """
        del weights_only  # nothing else is ever read
        path = Path(path)
        if path.is_dir():
            folder = verify_shards(path)
            return checked(read_whole(folder, read_file(folder / TRAINER)), path)
        verify_checkpoint(path)
        return checked(read_file(path, map_location), path)

    def remove_checkpoint(self, path: Any) -> None:
        """Delete a checkpoint and its SHA-256."""
        if Path(path).is_dir() and not Path(path).is_symlink():
            shutil.rmtree(path)
        else:
            Path(path).unlink(missing_ok=True)
        _digests_of(Path(path)).unlink(missing_ok=True)


def read_file(path: Path, map_location: Callable[..., Any] | None = None) -> Any:
    """Read a file of tensors and plain containers.

    Raises:
        anyloom.errors.CheckpointError: It is damaged or holds anything else.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     torch.save({"step": 4}, Path(folder) / "a.ckpt")
    ...     read_file(Path(folder) / "a.ckpt")
    {'step': 4}
    """
    try:
        return torch.load(path, map_location=map_location or "cpu", weights_only=True)
    except (RuntimeError, pickle.UnpicklingError, EOFError, ValueError, KeyError, TypeError, OSError) as error:
        raise CheckpointError(
            f"not a checkpoint that can be read safely ({_reason(error)})",
            where=str(path),
            fix="resume from another one",
        ) from error


def verify_checkpoint(path: Path) -> None:
    """Tell whether a checkpoint is as it was written.

    Raises:
        anyloom.errors.CheckpointError: It is not there or damaged.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "last.ckpt"
    ...     CheckpointFiles().save_checkpoint({"state_dict": {}, "pytorch-lightning_version": "2.0"}, path)
    ...     verify_checkpoint(path)
    ...     _ = path.write_bytes(path.read_bytes()[:-1])
    ...     try:
    ...         verify_checkpoint(path)
    ...     except CheckpointError as error:
    ...         print(error.what.partition(":")[0])
    the checkpoint is damaged (it is not what was written)
    """
    if path.is_dir():
        verify_shards(path)
        return
    if not path.is_file():
        fix = "give one, or 'last' for the newest one"
        raise CheckpointError("there is no such checkpoint", where=str(path), fix=fix)
    target = path.resolve()  # "last" may be a link to another checkpoint
    digests = _digests_of(target)
    if digests.is_file():
        known = [line.split()[0] for line in digests.read_text(encoding="utf-8").splitlines() if line.strip()]
        whole = sha256(target) in known
    else:
        whole = _sums_hold(target)
    if not whole:
        raise CheckpointError(
            "the checkpoint is damaged (it is not what was written)", where=str(path), fix="resume from another one"
        )


def newest_good(folder: Path) -> tuple[Path | None, list[Path]]:
    """The newest checkpoint of a folder that is whole, and the damaged ones that are newer.

    >>> import tempfile
    >>> content = {"state_dict": {}, "pytorch-lightning_version": "2.0"}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name in ("a.ckpt", "b.ckpt"):
    ...         CheckpointFiles().save_checkpoint(content, Path(folder) / name)
    ...     _ = (Path(folder) / "b.ckpt").write_bytes(b"cut")
    ...     good, damaged = newest_good(Path(folder))
    >>> good.name, [path.name for path in damaged]
    ('a.ckpt', ['b.ckpt'])
    """
    damaged: list[Path] = []
    files = sorted(folder.glob("*.ckpt"), key=lambda p: (p.stat().st_mtime_ns, p.name), reverse=True)
    for path in files:
        try:
            verify_checkpoint(path)
        except CheckpointError:
            damaged.append(path)
        else:
            return path, damaged
    return None, damaged


def _save(checkpoint: Mapping[str, Any], path: Path) -> None:
    """Write the file and its SHA-256. At no moment does the file at ``path`` lack a digest that fits it."""
    digests = _digests_of(path)
    before = digests.read_text(encoding="utf-8") if digests.is_file() and path.is_file() else ""
    with replacing(path) as draft:
        try:
            torch.save(dict(checkpoint), draft)
        except RuntimeError as error:  # torch's writer says no more than that it could not write
            if "PytorchStreamWriter" not in str(error) and "inline_container" not in str(error):
                raise
            raise OSError(errno.ENOSPC, "the disk is full, or a limit on the size of files was met") from error
        line = f"{sha256(draft)}  {path.name}\n"
        write_text(digests, before + line)
    try:
        write_text(digests, line)
    except CheckpointError as error:
        raise file_error(OSError(errno.ENOSPC, str(error)), path) from error


def _digests_of(path: Path) -> Path:
    return path.with_name(path.name + ".sha256")


def _sums_hold(path: Path) -> bool:
    """Whether the records of a zip archive, which torch writes, have the sums that stand beside them."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except (zipfile.BadZipFile, zlib.error, OSError, ValueError, NotImplementedError, EOFError, RuntimeError):
        return False


def _reason(error: Exception) -> str:
    """The line of torch's explanation that says what was met."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return next((line for line in lines if "GLOBAL" in line), lines[0])[:200]


def checked(content: Any, path: Path) -> dict[str, Any]:
    """Return the content of a checkpoint, if it is what a trainer wrote.

    Raises:
        anyloom.errors.CheckpointError: It is not, a newer trainer wrote it, or it holds values that are not finite.

    >>> try:
    ...     checked({"weights": {}}, Path("a.ckpt"))
    ... except CheckpointError as error:
    ...     print(error.what)
    this is not a trainer's checkpoint (it has no state_dict of tensors)
    """
    state = content.get("state_dict") if isinstance(content, dict) else None
    if not isinstance(state, dict) or not all(isinstance(t, torch.Tensor) for t in state.values()):
        raise CheckpointError(
            "this is not a trainer's checkpoint (it has no state_dict of tensors)",
            where=str(path),
            fix="give a file that training wrote; weights alone go into module.start_from",
        )
    version = str(content.get("pytorch-lightning_version", ""))
    if not version[:1].isdigit() or int(version.split(".")[0]) > int(lightning.__version__.split(".")[0]):
        raise CheckpointError(
            f"it was written by lightning {version or '(unknown)'}, and {lightning.__version__} is installed",
            where=str(path),
            fix="install the version that wrote it",
        )
    # of a sharded tensor the part that is here: the whole would be a question to all processes
    if bad := non_finite({k: t.to_local() if isinstance(t, DTensor) else t for k, t in state.items()}):
        raise CheckpointError(
            f"{len(bad)} tensors have values that are not finite ({', '.join(bad[:3])})",
            where=str(path),
            fix="resume from an earlier checkpoint",
        )
    assert isinstance(content, dict)
    return content
