"""Errors of lightning, torch and the file system that a run can meet, in one clear line each.

What is recognised here has a cause outside the program: a full disk, too little memory, a process that was killed, a
trainer option that does not fit the data. Anything else keeps its traceback: it is a bug of the framework or a plugin.
"""

from __future__ import annotations

import errno
import traceback
from pathlib import Path
from typing import Final

import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException

from anyloom.errors import AnyloomError, ConfigError
from anyloom.storage.atomic import file_error
from anyloom.training.resuming import restoring_error

__all__ = ["MEMORY_ADVICE", "InterruptedRunError", "out_of_memory", "translated"]

MEMORY_ADVICE: Final = (
    "lower data.batch_size and raise trainer.accumulate_grad_batches by as much, shorten model.max_length, train in "
    "bf16-mixed, or switch on gradient_checkpointing"
)
_MEMORY: Final = ("not enough memory", "can't allocate memory", "out of memory")
_FILES: Final = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EFBIG)
_WORKERS: Final = ("DataLoader worker", "worker process died", "Pin memory thread exited")
# What torch's collectives say when the other side is gone, in lower case: gloo's messages, NCCL's and the store's.
_PEERS: Final = (
    "closed by peer", "reset by peer", "pair closure", "socket closed", "connection was likely closed",
    "connection refused", "connect timeout", "timed out", "read error", "write error", "broken pipe", "nccl", "gloo",
)  # fmt: skip


class InterruptedRunError(AnyloomError):
    """Something outside the program ended a run: another process, the memory, the disk."""


def translated(error: BaseException, checkpoint: str | None = None) -> AnyloomError | None:
    """The clear form of an exception that ended a run; None if it has none.

    Args:
        error: The exception.
        checkpoint: What the run was resumed from.

    >>> print(translated(torch.OutOfMemoryError("out of memory")) is None)
    False
    """
    if isinstance(error, AnyloomError) or not isinstance(error, Exception):
        return None
    text = " ".join(str(error).split())
    restoring = restoring_error(error, checkpoint)
    if restoring is not None:
        return restoring
    if out_of_memory(error):
        return InterruptedRunError(f"a batch does not fit into memory ({text[:200]})", where="fit", fix=MEMORY_ADVICE)
    if _from_distributed(error, text):
        return InterruptedRunError(
            f"another process of this run ended or does not answer ({text[:200]})",
            where="fit",
            fix="its own message says why; resume with ckpt_path=last",
        )
    if isinstance(error, ConnectionError) or any(word in text for word in _WORKERS):
        return InterruptedRunError(
            f"a data worker died ({text[:200] or type(error).__name__})",
            where="data.workers",
            fix="it was killed or ran out of memory: use fewer workers, or give shared memory more room; "
            "resume with ckpt_path=last",
        )
    if isinstance(error, OSError) and error.errno in _FILES:
        return file_error(error, Path(str(error.filename or "standard output or the disk")))
    if isinstance(error, MisconfigurationException) or (isinstance(error, ValueError) and _of_lightning(error)):
        return ConfigError(text, where="trainer")
    if isinstance(error, RuntimeError) and _of_lightning(error, "/lightning/pytorch/callbacks/"):
        return ConfigError(text, where="trainer")
    return None


def out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out, on a device or in the main memory.

    >>> out_of_memory(torch.OutOfMemoryError()), out_of_memory(ValueError("something else"))
    (True, False)
    """
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(word in str(error) for word in _MEMORY)


def _from_distributed(error: BaseException, text: str) -> bool:
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return False
    known = isinstance(error, torch.distributed.DistError | ConnectionError)
    return known or (isinstance(error, RuntimeError) and any(word in text.lower() for word in _PEERS))


def _of_lightning(error: BaseException, folder: str = "/lightning/") -> bool:
    """Whether lightning itself raised an exception, in files below a folder, not something that it called."""
    frames = traceback.extract_tb(error.__traceback__)
    return bool(frames) and folder in frames[-1].filename.replace("\\", "/")
