"""Parameters that FSDP2 holds in shards: put together for a while, or for good on the CPU.

Nothing here asks for a process group unless something is sharded, and nothing is imported for it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["gathered_parameters", "is_sharded", "whole", "whole_state"]

_HELD = "_anyloom_holds_whole"


@contextmanager
def gathered_parameters(network: nn.Module) -> Iterator[None]:
    """Hold all parameters whole meanwhile, so that each process can go its own way.

    Free-running answers take another number of passes in every process; passes that gather would wait for each other
    for ever. Every process has to come here, and to leave. Inside of another such block nothing happens.

    Example:
        >>> layer = nn.Linear(2, 1)
        >>> with gathered_parameters(layer):  # nothing is sharded: it costs nothing
        ...     layer.weight.shape
        torch.Size([1, 2])
    """
    sharded = [m for m in _sharded_modules(network) if not getattr(m, _HELD, False)]
    for module in sharded:
        module.set_reshard_after_forward(False, recurse=False)
        module.unshard()
        setattr(module, _HELD, True)
    try:
        yield
    finally:
        for module in sharded:
            module.set_reshard_after_forward(True, recurse=False)
            module.reshard()
            setattr(module, _HELD, False)


def _sharded_modules(module: nn.Module) -> list[Any]:
    fsdp = sys.modules.get("torch.distributed.fsdp")  # whoever sharded something has imported it
    return [] if fsdp is None else [m for m in module.modules() if isinstance(m, fsdp.FSDPModule)]


def is_sharded(module: nn.Module) -> bool:
    """Whether a part of a module is held in shards.

    Example:
        >>> is_sharded(nn.Linear(2, 1))
        False
    """
    return bool(_sharded_modules(module))


def whole_state(module: nn.Module) -> dict[str, Tensor]:
    """The state dict with sharded tensors put together on the CPU; every process has to call it.

    Example:
        >>> sorted(whole_state(nn.Linear(2, 1)))
        ['bias', 'weight']
    """
    return {name: whole(tensor) for name, tensor in module.state_dict().items()}


def whole(tensor: Tensor) -> Tensor:
    """A tensor put together on the CPU, if it is sharded; every process has to call it.

    Example:
        >>> whole(nn.Parameter(torch.ones(2)))
        tensor([1., 1.])
    """
    full = tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor
    return full.detach().to("cpu") if isinstance(full, torch.Tensor) else full
