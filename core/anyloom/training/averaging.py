"""An exponential moving average of weights, which sample better than the last ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

__all__ = ["AveragedWeights"]


class AveragedWeights:
    """Averages of named parameters, in float32.

    Early on the average follows faster: decay is at most ``(1 + n) / (10 + n)``.

    Args:
        parameters: Named parameters; those without ``requires_grad`` are left out.
        decay: Share of the old average that a step keeps.

    >>> layer = nn.Linear(1, 1, bias=False)
    >>> average = AveragedWeights(layer.named_parameters(), decay=0.9)
    >>> _ = layer.weight.data.fill_(1.0)
    >>> average.update()
    >>> with average.applied():
    ...     inside = layer.weight.item()
    >>> 0 < inside <= 1, layer.weight.item()
    (True, 1.0)
    """

    def __init__(self, parameters: Iterable[tuple[str, nn.Parameter]], decay: float) -> None:
        self.decay, self.steps = decay, 0
        self._live = {name: p for name, p in parameters if p.requires_grad}
        self._mean = {name: p.detach().to(torch.float32, copy=True) for name, p in self._live.items()}

    @torch.no_grad()
    def update(self) -> None:
        """Take in the present weights."""
        self.steps += 1
        share = 1 - min(self.decay, (1 + self.steps) / (10 + self.steps))
        self._follow()
        torch._foreach_lerp_(list(self._mean.values()), [p.data.float() for p in self._live.values()], share)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Put the averages in place of the weights for a while."""
        self.swap()
        try:
            yield
        finally:
            self.swap()

    @torch.no_grad()
    def swap(self) -> None:
        """Exchange weights and averages."""
        self._follow()
        for name, live in self._live.items():
            kept = live.detach().clone()
            live.copy_(self._mean[name])
            self._mean[name].copy_(kept)

    def state_dict(self) -> dict[str, Tensor]:
        """Averages by name, and the number of steps as ``steps``."""
        return {**self._mean, "steps": torch.tensor(self.steps)}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Restore what :meth:`state_dict` gave."""
        self.steps = int(state["steps"])
        self._mean = {name: state[name].clone() for name in self._mean}

    def _follow(self) -> None:
        """Move the averages to where the weights are now."""
        self._mean = {name: mean.to(self._live[name].device) for name, mean in self._mean.items()}
