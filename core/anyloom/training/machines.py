"""A run over several machines says for whom it waits."""

from __future__ import annotations

import os
from typing import Final

import lightning
from lightning.fabric.plugins.environments.lightning import LightningEnvironment

from anyloom.errors import ConfigError
from anyloom.training.console import tell

__all__ = ["say_who_is_waited_for"]

_VARIABLES: Final = ("MASTER_ADDR", "MASTER_PORT", "NODE_RANK")


def say_who_is_waited_for(trainer: lightning.Trainer, seconds: float) -> None:
    """One line of each machine before it waits for the others, which may never come.

    Args:
        trainer: A run over several machines.
        seconds: For how long it waits.

    Raises:
        anyloom.errors.ConfigError: Nothing says where the others are, so that they would be waited for in vain.
    """
    cluster = getattr(trainer.strategy, "cluster_environment", None)
    missing = [name for name in _VARIABLES if name not in os.environ]
    if isinstance(cluster, LightningEnvironment) and missing:
        raise ConfigError(
            f"this process does not know the {trainer.num_nodes - 1} other(s): {', '.join(missing)} not set",
            where="trainer.num_nodes",
            fix="start it on every machine with torchrun or srun, or set these variables there",
        )
    if cluster is not None and trainer.local_rank == 0:
        place = f"{cluster.main_address}:{cluster.main_port}"
        tell(
            f"machine {trainer.node_rank} of {trainer.num_nodes}: waiting for the others at {place}, "
            f"at most {seconds:g} s; each runs the same command"
        )
