"""``trainer.strategy: fsdp2``: every process holds a part of the parameters, gradients and moments (FSDP2).

Checkpoints are those of any other run, one file that the first process writes, so that another number of processes can
go on with it, and that is checked and read as safely as those.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from lightning.pytorch.strategies import ModelParallelStrategy
from lightning.pytorch.strategies.strategy import Strategy
from torch.distributed.checkpoint.state_dict import StateDictOptions, set_model_state_dict, set_optimizer_state_dict
from torch.distributed.fsdp import FullyShardedDataParallel, OptimStateKeyType

__all__ = ["NAME", "FullyShardedStrategy"]

NAME: Final = "fsdp2"


class FullyShardedStrategy(ModelParallelStrategy):
    """Shards over all processes.

    Args:
        process_group_backend: Such as ``nccl`` or ``gloo``; by default that of the device.
    """

    def __init__(self, process_group_backend: str | None = None) -> None:
        super().__init__(
            tensor_parallel_size=1, save_distributed_checkpoint=False, process_group_backend=process_group_backend
        )

    def setup_environment(self) -> None:
        """Let all processes share the parameters, whatever nodes they are on."""
        self._data_parallel_size = self.num_processes * self.num_nodes
        super().setup_environment()

    @property
    def lightning_restore_optimizer(self) -> bool:
        """Moments come through :meth:`load_optimizer_state_dict`, after the weights."""
        return True

    def load_checkpoint(self, checkpoint_path: Any, weights_only: bool | None = None) -> dict[str, Any]:
        """Read a checkpoint as every other strategy does; what is in it is put in its place later."""
        return Strategy.load_checkpoint(self, checkpoint_path, weights_only=weights_only)

    def load_model_state_dict(self, checkpoint: Mapping[str, Any], strict: bool = True) -> None:
        """Give every process its part."""
        assert self.model is not None
        options = StateDictOptions(full_state_dict=True, strict=strict)
        set_model_state_dict(self.model, dict(checkpoint["state_dict"]), options=options)

    def load_optimizer_state_dict(self, checkpoint: Mapping[str, Any]) -> None:
        """Give every process its part of the moments."""
        assert self.model is not None
        for optimizer, state in zip(self.optimizers, checkpoint["optimizer_states"]):
            named = FullyShardedDataParallel.rekey_optim_state_dict(state, OptimStateKeyType.PARAM_NAME, self.model)
            options = StateDictOptions(full_state_dict=True)
            set_optimizer_state_dict(self.model, optimizer, named, options=options)
