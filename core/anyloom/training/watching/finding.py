"""A fault of training that has a name."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

__all__ = ["Finding", "spread", "times"]


@dataclass(frozen=True)
class Finding:
    """One fault.

    Args:
        name: Short name, which a test or a log can look for.
        where: YAML key.
        what: What was measured.
        fix: What to do.
    """

    name: str
    where: str
    what: str
    fix: str

    @property
    def key(self) -> tuple[str, str]:
        """A fault is told once for each place."""
        return self.name, self.where

    def line(self, step: int) -> str:
        """What a user reads.

        >>> Finding("learning-rate", "module.optimizer.lr", "it is 0", "raise it").line(25)
        'note: step 25, fault learning-rate: module.optimizer.lr: it is 0; raise it'
        """
        return f"note: step {step}, fault {self.name}: {self.where}: {self.what}; {self.fix}"


def spread(rows: Tensor) -> float:
    """How far rows ``(N, ...)`` lie from their mean, as a root mean square.

    >>> import torch
    >>> spread(torch.tensor([[0.0], [2.0]]))
    1.0
    """
    rows = rows.detach().float()
    return float((rows - rows.mean(0, keepdim=True)).square().mean().sqrt())


def times(value: float) -> str:
    """A ratio in words.

    >>> times(5.49), times(0.25)
    ('5.49 times too large', '4 times too small')
    """
    large = value >= 1
    return f"{value if large else 1 / max(value, 1e-12):.3g} times too {'large' if large else 'small'}"
