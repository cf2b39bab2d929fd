"""Sharding a network over processes with FSDP2, component by component.

Parameters are gathered where a component's forward, or another method that reads them, is called. The network is built
and loaded whole in the memory of every process's host before it is sharded.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from torch import nn

from anyloom.errors import ConfigError
from anyloom.network.network import Network
from anyloom.network.parts import Part
from anyloom.storage.sharded import gathered_parameters, is_sharded, whole, whole_state

__all__ = ["gathered_parameters", "is_sharded", "shard", "whole", "whole_state"]

_READING_METHODS = {
    "representation": ("embed", "embed_target", "read", "loss", "step", "finish"),
    "decoder": ("generate",),
}
"""Methods besides ``forward`` that read parameters, by kind of component."""


def shard(network: Network, mesh: Any) -> None:
    """Shard every component of a network.

    Args:
        network: With its weights.
        mesh: One-dimensional ``DeviceMesh`` of the processes.

    Raises:
        anyloom.errors.ConfigError: A component cannot be sharded.
    """
    for part in network.parts.components():
        if any(True for _ in part.component.parameters()):
            _shard_part(part, mesh)


def _shard_part(part: Part, mesh: Any) -> None:
    from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method

    if part.kind in ("coupler", "loss"):
        raise ConfigError(
            f"a {part.kind} with parameters of its own cannot be sharded",
            where=part.key,
            fix="use strategy: ddp, or leave it out",
        )
    # Media of a decoder that is sharded are made while all its parameters are gathered, so one group is enough there;
    # a language model is gathered block by block.
    for unit in part.component.shard_units():
        fully_shard(unit, mesh=mesh)
    fully_shard(part.component, mesh=mesh, ignored_params=_single_numbers(part, mesh))
    reading = _Reading()
    for method in _READING_METHODS.get(part.kind, ()):
        if hasattr(part.component, method):
            plain = getattr(part.component, method)
            register_fsdp_forward_method(part.component, method)
            setattr(part.component, method, reading.once(plain, getattr(part.component, method)))


def _single_numbers(part: Part, mesh: Any) -> set[nn.Parameter]:
    """Fixed parameters without a dimension, which cannot be split: every process holds them."""
    found = {p for p in part.component.parameters() if not p.ndim}
    if any(p.requires_grad for p in found) and not part.fixed:
        raise ConfigError(
            "a parameter that is a single number cannot be sharded",
            where=part.key,
            fix="use strategy: ddp, or make it a vector of one number",
        )
    for parameter in found:
        parameter.data = parameter.data.to(mesh.device_type)
    return found


class _Reading:
    """Lets the outermost of a component's methods gather its parameters.

    One that is called by another must not: it would let go of them on its return, in the middle of the other.
    """

    def __init__(self) -> None:
        self._inside = False

    def once(self, plain: Callable[..., Any], gathering: Callable[..., Any]) -> Callable[..., Any]:
        """A method that gathers, unless another is gathering already."""

        @functools.wraps(plain)
        def method(*args: Any, **kwargs: Any) -> Any:
            if self._inside:
                return plain(*args, **kwargs)
            self._inside = True
            try:
                return gathering(*args, **kwargs)
            finally:
                self._inside = False

        return method
