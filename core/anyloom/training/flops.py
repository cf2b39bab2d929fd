"""FLOPs of a step as it runs, by component, and what share of a device's peak they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, Self

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from anyloom.network.network import Network
from anyloom.network.parts import Part

__all__ = ["StepFlops", "counting", "peak_flops", "utilisation"]

_OUTSIDE: Final = "outside of forward passes"


@dataclass
class StepFlops:
    """FLOPs of matrix products, convolutions and attention, forward and backward; recomputed ones count again.

    Args:
        components: By component, under its YAML key; only what ran inside its ``forward``.
        trained: Of ``components`` those that hold trainable parameters.
        total: Of everything.

    >>> flops = StepFlops({"model.llm": 3 * 10**9, "model.encoders.eye": 10**9}, ("model.llm",), 4 * 10**9)
    >>> flops.lines()[0], flops.trainable
    ('model.llm: 3.000 GFLOP', 3000000000)
    """

    components: dict[str, int] = field(default_factory=dict)
    trained: tuple[str, ...] = ()
    total: int = 0

    @property
    def trainable(self) -> int:
        """FLOPs of the components that are trained; frozen encoders and decoders are left out."""
        return sum(self.components[key] for key in self.trained)

    @property
    def known(self) -> bool:
        """Whether there is a count: a compiled language model, or one with kernels of its own, gives none."""
        return self.components.get("model.llm", 0) > 0

    def lines(self) -> list[str]:
        """A line for each component, and the total."""
        rows = [*self.components.items(), (_OUTSIDE, self.total - sum(self.components.values()))]
        return [f"{key}: {count / 1e9:,.3f} GFLOP" for key, count in [*rows, ("a step", self.total)] if count]


class _Counter(TorchDispatchMode):
    """Counts by component: forward by hooks, backward by the sequence numbers that autograd gave in the forward.

    Operations run as they are. PyTorch's own counter takes some of them apart, which changes the last bits of a step.
    """

    def __init__(self, parts: Sequence[Part]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.by_part: dict[str, int] = {}
        self._parts = parts
        self._inside: list[tuple[str, int]] = []
        self._ranges: list[tuple[int, int, str]] = []
        self._hooks = ExitStack()

    def __enter__(self) -> Self:
        for part in self._parts:
            module = part.component
            self._hooks.callback(module.register_forward_pre_hook(self._entered(part.key)).remove)
            self._hooks.callback(module.register_forward_hook(self._left, always_call=True).remove)
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *args: Any) -> Any:
        self._hooks.close()
        return super().__exit__(*args)  # type: ignore[no-untyped-call]

    def _entered(self, key: str) -> Callable[..., None]:
        return lambda *_: self._inside.append((key, _sequence_number()))

    def _left(self, *_: Any) -> None:
        key, began = self._inside.pop()
        self._ranges.append((began, _sequence_number(), key))

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation and count it."""
        given = kwargs or {}
        out = func(*args, **given)
        cost = flop_registry.get(func._overloadpacket)
        if cost is not None:
            key = self._component()
            self.by_part[key] = self.by_part.get(key, 0) + int(cost(*args, **given, out_val=out))
        return out

    def _component(self) -> str:
        """Whose operation this is: of a backward pass (what is computed again in it as well), that of its node."""
        node = torch._C._current_autograd_node()
        if node is None:
            return self._inside[-1][0] if self._inside else _OUTSIDE
        number = node._sequence_nr()
        return next((key for began, ended, key in self._ranges if began <= number < ended), _OUTSIDE)


def _sequence_number() -> int:
    return int(torch._C._autograd._get_sequence_nr())  # type: ignore[attr-defined]


@contextmanager
def counting(network: nn.Module) -> Iterator[StepFlops]:
    """Count the FLOPs of what runs meanwhile; the result is filled in at the end.

    Args:
        network: Its components are told apart if it is a :class:`~anyloom.network.network.Network`.

    >>> layer = nn.Linear(8, 4)
    >>> with counting(layer) as flops:
    ...     _ = layer(torch.zeros(2, 8))
    >>> flops.total  # two for each multiplication: 2 * 2 * 8 * 4
    128
    """
    found = StepFlops()
    parts = network.parts.components() if isinstance(network, Network) else []
    with _Counter(parts) as counter:
        yield found
    found.total = sum(counter.by_part.values())
    found.components = {p.key: counter.by_part[p.key] for p in parts if p.key in counter.by_part}
    found.trained = tuple(
        p.key for p in parts if p.key in found.components and any(q.requires_grad for q in p.component.parameters())
    )


def peak_flops(device: torch.device, dtype: torch.dtype = torch.bfloat16) -> float:
    """FLOPs per second that the maker of a device states for dense products; 0 where that is not known.

    >>> peak_flops(torch.device("cpu"))
    0.0
    """
    if device.type != "cuda":
        return 0.0
    from lightning.fabric.utilities.throughput import get_available_flops

    try:
        return float(get_available_flops(device, dtype) or 0)
    except (RuntimeError, ValueError, KeyError):
        return 0.0


def utilisation(flops: float, seconds: float, peak: float) -> float:
    """Share of the peak that was reached; 0 where anything is unknown.

    >>> utilisation(4e14, 1.0, 1e15), utilisation(4e14, 1.0, 0.0)
    (0.4, 0.0)
    """
    return flops / seconds / peak if seconds > 0 and peak > 0 else 0.0
