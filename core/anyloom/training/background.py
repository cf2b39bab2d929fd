"""Checkpoints in shards that are written while training goes on: a step waits only for a copy of what is written."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.checkpoint.staging import BlockingAsyncStager

from anyloom.training.shard_files import joined, save_shards, taken_apart

__all__ = ["BackgroundShards"]


class BackgroundShards:
    """Writes one checkpoint after another, in a thread of every process.

    What the thread asks the other processes goes through a group of its own, beside the training's. The copy is made
    into the same memory each time, which on a GPU's side is page-locked.

    >>> import tempfile
    >>> from anyloom.training.checkpoint_files import CheckpointFiles
    >>> weights = {"w": torch.ones(2)}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     shards = BackgroundShards()
    ...     shards.save({"state_dict": weights, "pytorch-lightning_version": "2.0"}, Path(folder) / "last.ckpt")
    ...     weights["w"] += 1  # the step after
    ...     shards.close()
    ...     CheckpointFiles().load_checkpoint(Path(folder) / "last.ckpt")["state_dict"]
    {'w': tensor([1., 1.])}
    """

    def __init__(self) -> None:
        self._pool: ThreadPoolExecutor | None = None
        self._waiting: list[Future[None]] = []
        self._group: dist.ProcessGroup | None = None
        self._stager: BlockingAsyncStager | None = None
        self._shapes: dict[str, Any] = {}

    def save(self, content: Mapping[str, Any], path: Path) -> None:
        """Copy a checkpoint and begin to write it; every process calls it. One that is still written is waited for.

        Raises:
            anyloom.errors.CheckpointError: The one before could not be written.
        """
        self.wait()
        tensors, rest = taken_apart(content)
        whole = joined(self._copied(tensors), copy.deepcopy(rest))
        if self._group is None and dist.is_initialized():
            self._group = dist.new_group(backend="gloo")  # the training's own group is in use meanwhile
        self._begin(lambda: save_shards(whole, path, group=self._group))

    def after(self, action: Callable[[], None]) -> None:
        """Do something when what has been asked for before is done, such as to delete the checkpoint before."""
        self._begin(action)

    def wait(self) -> None:
        """Return when all is written.

        Raises:
            anyloom.errors.CheckpointError: Something could not be written.
        """
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            future.result()

    def close(self) -> None:
        """Wait, and end the thread.

        Raises:
            anyloom.errors.CheckpointError: As :meth:`wait`.
        """
        try:
            self.wait()
        finally:
            if self._pool is not None:
                self._pool.shutdown()
            self._pool = self._group = None

    def _begin(self, action: Callable[[], None]) -> None:
        self._pool = self._pool or ThreadPoolExecutor(1, "checkpoint")
        self._waiting.append(self._pool.submit(action))

    def _copied(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        shapes = {name: (tensor.shape, tensor.dtype) for name, tensor in tensors.items()}
        if self._stager is None or shapes != self._shapes:  # moments come with the first step
            self._stager, self._shapes = BlockingAsyncStager(cache_staged_state_dict=True), shapes
            if not torch.cuda.is_available():  # its own first copy would be in page-locked memory
                self._stager.state_dict_cache = BlockingAsyncStager().stage(tensors)
                return self._stager.state_dict_cache
        return self._stager.stage(tensors)
