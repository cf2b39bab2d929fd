"""``trainer.strategy: fsdp2``: every process holds a part of the parameters, gradients and moments (FSDP2).

Every process writes what it holds into a checkpoint that is a folder (:mod:`anyloom.training.shard_files`). Another
number of processes can go on with it, and a process alone reads it as it reads one in a file; so does this strategy
with a checkpoint in a file. With lightning's ``AsyncCheckpointIO`` among the trainer's plugins they are written in the
background (:mod:`anyloom.training.background`).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from lightning.pytorch.plugins.io import AsyncCheckpointIO
from lightning.pytorch.strategies import ModelParallelStrategy
from lightning.pytorch.strategies.strategy import Strategy
from torch.distributed.checkpoint.state_dict import StateDictOptions, set_model_state_dict, set_optimizer_state_dict

from anyloom.training.background import BackgroundShards
from anyloom.training.checkpoint_files import checked, read_file
from anyloom.training.shard_files import TRAINER, save_shards, tensors_into, verify_shards

__all__ = ["NAME", "FullyShardedStrategy"]

NAME: Final = "fsdp2"


class FullyShardedStrategy(ModelParallelStrategy):
    """Shards over all processes.

    Args:
        process_group_backend: Such as ``nccl`` or ``gloo``; by default that of the device.
    """

    def __init__(self, process_group_backend: str | None = None) -> None:
        super().__init__(
            tensor_parallel_size=1, save_distributed_checkpoint=True, process_group_backend=process_group_backend
        )
        self._background = BackgroundShards()

    _in_parts = False  # what was read last is sharded already

    def setup_environment(self) -> None:
        """Let all processes share the parameters, whatever nodes they are on."""
        self._data_parallel_size = self.num_processes * self.num_nodes
        super().setup_environment()

    @property
    def lightning_restore_optimizer(self) -> bool:
        """Moments come through :meth:`load_optimizer_state_dict`, after the weights."""
        return True

    def save_checkpoint(self, checkpoint: dict[str, Any], filepath: Any, storage_options: Any = None) -> None:
        """Write a folder, every process its part; or begin to, where checkpoints are written in the background."""
        del storage_options
        path = Path(self.broadcast(filepath))
        if isinstance(self.checkpoint_io, AsyncCheckpointIO):
            self._background.save(checkpoint, path)
        else:
            save_shards(checkpoint, path)

    def remove_checkpoint(self, filepath: Any) -> None:
        """Delete a checkpoint, after the one that is being written is there."""
        if self.is_global_zero:
            if isinstance(self.checkpoint_io, AsyncCheckpointIO):
                self._background.after(lambda: self.checkpoint_io.remove_checkpoint(filepath))
            else:
                self.checkpoint_io.remove_checkpoint(filepath)

    def teardown(self) -> None:
        """Wait for what is being written, then end."""
        try:
            self._background.close()
        finally:
            super().teardown()

    def load_checkpoint(self, checkpoint_path: Any, weights_only: bool | None = None) -> dict[str, Any]:
        """Read a checkpoint; what is in it is put in its place later. Of a folder, every process reads its part."""
        self._background.wait()
        path = Path(self.broadcast(checkpoint_path))
        self._in_parts = path.is_dir()
        if not self._in_parts:
            return Strategy.load_checkpoint(self, path, weights_only=weights_only)
        folder = verify_shards(path, together=True)
        moments = [self.optimizer_state(optimizer) for optimizer in self.optimizers]
        own = {"state_dict": self.lightning_module_state_dict(), "optimizer_states": moments}
        return checked(tensors_into(folder, read_file(folder / TRAINER), own), path)

    def load_model_state_dict(self, checkpoint: Mapping[str, Any], strict: bool = True) -> None:
        """Give every process its part."""
        assert self.model is not None
        options = StateDictOptions(full_state_dict=not self._in_parts, strict=strict)
        set_model_state_dict(self.model, dict(checkpoint["state_dict"]), options=options)

    def load_optimizer_state_dict(self, checkpoint: Mapping[str, Any]) -> None:
        """Give every process its part of the moments."""
        assert self.model is not None
        # not strict: one process alone keeps no moments of a parameter that has had no gradient yet
        options = StateDictOptions(full_state_dict=not self._in_parts, strict=False)
        for optimizer, state in zip(self.optimizers, checkpoint["optimizer_states"]):
            named = state if self._in_parts else self._named(state, optimizer)
            set_optimizer_state_dict(self.model, optimizer, named, options=options)

    def _named(self, state: Mapping[str, Any], optimizer: Any) -> dict[str, Any]:
        """The state with names in place of numbers. What a number stands for is said by its place in the groups."""
        assert self.model is not None
        names = {id(parameter): name for name, parameter in self.model.named_parameters()}
        ours = [names[id(p)] for group in optimizer.param_groups for p in group["params"]]
        theirs = [number for group in state["param_groups"] for number in group["params"]]
        if len(ours) != len(theirs):
            raise ValueError(f"it has moments of {len(theirs)} parameters, and {len(ours)} are trained")
        name_of = dict(zip(theirs, ours))
        groups = [{**group, "params": [name_of[n] for n in group["params"]]} for group in state["param_groups"]]
        return {"state": {name_of[n]: values for n, values in state["state"].items()}, "param_groups": groups}
