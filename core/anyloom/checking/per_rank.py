"""Memory of each process of a run on several devices, from the shapes of parameters on the meta device."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal, get_args

from torch import Tensor, nn

from anyloom.checking.inspection import ModelInspection
from anyloom.interfaces.component import NeuralComponent

__all__ = ["STRATEGIES", "Held", "RankMemory", "Strategy", "held_by", "rank_memory"]

Strategy = Literal["ddp", "fsdp2"]
STRATEGIES: Final[tuple[str, ...]] = get_args(Strategy)
_ADAM_STATES: Final = 2
_AHEAD: Final = 2
"""Units that are gathered at once: the one that runs and the one after it."""


@dataclass(frozen=True)
class Held:
    """A component that a process holds.

    Args:
        component: On the meta device.
        trained: Whether its parameters that ask for a gradient get one.
        every: Count all its parameters as trained: a stage chooses among them when it starts.

    >>> Held(NeuralComponent(None), trained=True).every
    False
    """

    component: NeuralComponent
    trained: bool
    every: bool = False


@dataclass(frozen=True)
class RankMemory:
    """Bytes of the process that holds most, before activations.

    Args:
        weights: Its parameters, or its parts of them, and all buffers.
        gathered: Whole parameters that are put together for a while, at most.
        gradients: Of what is trained, or of its parts.
        buckets: Gradients once more, as they are sent.
        optimizer: The two states of AdamW.

    >>> RankMemory(weights=40, gathered=0, gradients=40, buckets=40, optimizer=80).total
    200
    """

    weights: int
    gathered: int
    gradients: int
    buckets: int
    optimizer: int

    @property
    def total(self) -> int:
        """All of it."""
        return self.weights + self.gathered + self.gradients + self.buckets + self.optimizer


def held_by(model: ModelInspection) -> list[Held]:
    """The components of a model; none if it cannot be built."""
    parts = [] if model.model is None else model.model.parts.components()
    return [Held(part.component, not part.fixed) for part in parts]


def rank_memory(held: Sequence[Held], strategy: Strategy, devices: int) -> RankMemory:
    """Memory of the process that holds most.

    With ``ddp`` each holds everything, and the gradients once more in the buckets that are sent. With ``fsdp2``
    each holds so many rows of every parameter. What a component does not name in ``shard_units`` is gathered as a
    whole when it runs and may stay so until the step ends; of the units, one runs while the next is fetched.

    Args:
        held: What takes part.
        strategy: How it is shared.
        devices: Processes, each with a device.

    >>> component = NeuralComponent(None)
    >>> component.weight = nn.Parameter(Tensor(10, 10))
    >>> whole = rank_memory([Held(component, trained=True)], "ddp", 2)
    >>> halves = rank_memory([Held(component, trained=True)], "fsdp2", 2)
    >>> whole.weights, halves.weights, whole.optimizer, halves.optimizer
    (400, 200, 800, 400)
    """
    ranks = devices if strategy == "fsdp2" else 1
    weights = gradients = gathered = 0
    for part in held:
        component = part.component
        parameters = list(component.parameters())
        whole = sum(map(_bytes, parameters))
        # Right also where the loaded form is smaller, as in 4 bits.
        scale = (component.stored_bytes() - sum(map(_bytes, component.buffers()))) / whole if whole else 0.0
        weights += round(scale * sum(_piece(p, ranks) for p in parameters)) + sum(map(_bytes, component.buffers()))
        if part.trained:
            gradients += sum(_piece(p, ranks) for p in parameters if part.every or p.requires_grad)
        if ranks > 1:
            gathered += round(scale * _gathered(component))
    buckets = gradients if strategy == "ddp" and devices > 1 else 0
    return RankMemory(weights, gathered, gradients, buckets, _ADAM_STATES * gradients)


def _gathered(component: NeuralComponent) -> int:
    """Bytes that are whole at once: what is in no unit, and the largest units."""
    units = [_own(unit.parameters()) for unit in component.shard_units()]
    inside = set().union(*units) if units else set()
    sizes = {id(p): _bytes(p) for p in component.parameters()}
    rest = sum(size for key, size in sizes.items() if key not in inside)
    largest = sorted((sum(sizes[key] for key in unit) for unit in units), reverse=True)[:_AHEAD]
    return rest + sum(largest)


def _own(parameters: Iterable[nn.Parameter]) -> set[int]:
    return {id(p) for p in parameters}


def _piece(parameter: Tensor, ranks: int) -> int:
    """Bytes of the first process's rows, of which no process has more."""
    if not parameter.ndim or ranks == 1:
        return _bytes(parameter)
    rows = parameter.shape[0]
    return math.ceil(rows / ranks) * (_bytes(parameter) // rows if rows else 0)


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()
