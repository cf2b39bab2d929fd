"""A loss that is right, and others that each get one thing wrong."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from anyloom.interfaces import Loss, Seen

__all__ = ["BROKEN", "Distance"]


class Distance(Loss):
    """Distance of predicted and true features, with a scale that is learned."""

    class Config(Loss.Config):
        """Options."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, seen: Seen) -> tuple[Tensor, Tensor]:
        """Sum ``()`` over media, and their number ``()``."""
        each = [(m.predicted - m.features).square().mean((1, 2)) for m in seen.media.values()]
        distances = torch.cat(each) if each else seen.hidden.new_zeros(0)
        return self.scale.square() * distances.sum(), torch.tensor(len(distances))


class KeepsRows(Distance):
    """Returns one value per row."""

    def forward(self, seen: Seen) -> tuple[Tensor, Tensor]:
        """Sums and counts."""
        total, count = super().forward(seen)
        return total.expand(2), count


class CountsInPython(Distance):
    """Returns a number that is no tensor."""

    def forward(self, seen: Seen) -> tuple[Tensor, Tensor]:
        """Sum and count."""
        total, count = super().forward(seen)
        return total, int(count)  # type: ignore[return-value]


class DividesByNothing(Distance):
    """Takes a mean where there is nothing."""

    def forward(self, seen: Seen) -> tuple[Tensor, Tensor]:
        """Mean and count."""
        total, count = super().forward(seen)
        return total / count, count


class AddsABias(Distance):
    """Is worth something where it counts nothing."""

    def forward(self, seen: Seen) -> tuple[Tensor, Tensor]:
        """Sum and count."""
        total, count = super().forward(seen)
        return total + 1, count


class Detaches(Distance):
    """Teaches its own parameters only."""

    def forward(self, seen: Seen) -> tuple[Tensor, Tensor]:
        """Sum and count."""
        with torch.no_grad():
            total, count = super().forward(seen)
        return self.scale * total, count


class LearnsNothing(Distance):
    """Has a parameter that no gradient reaches."""

    def forward(self, seen: Seen) -> tuple[Tensor, Tensor]:
        """Sum and count."""
        total, count = super().forward(seen)
        return total / self.scale.square() * self.scale.detach().square(), count


class CountsPredictions(Distance):
    """Its count depends on what is predicted."""

    def forward(self, seen: Seen) -> tuple[Tensor, Tensor]:
        """Sum and count."""
        total, count = super().forward(seen)
        return total, count + 0 * total


BROKEN: dict[type[Loss], str] = {
    KeepsRows: "gives_a_sum_and_a_count",
    CountsInPython: "gives_a_sum_and_a_count",
    CountsPredictions: "gives_a_sum_and_a_count",
    DividesByNothing: "takes_a_batch_without_media",
    AddsABias: "takes_a_batch_without_media",
    Detaches: "passes_gradient",
    LearnsNothing: "passes_gradient",
}
