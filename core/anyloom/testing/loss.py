"""Checks of losses: extra terms of the training loss.

Shape legend: B rows, S positions, N media, L features per medium, D feature dim, H hidden size.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from anyloom.interfaces.loss import Seen, SeenMedia
from anyloom.testing.case import LossCase
from anyloom.testing.checking import check, require
from anyloom.testing.neural import NeuralChecks

__all__ = ["LossChecks"]

_MEDIA, _ROWS, _LENGTH = 4, 2, 12


class LossChecks(NeuralChecks):
    """Inherit and supply the fixture ``case``, a :class:`anyloom.testing.LossCase`.

    >>> from anyloom.testing import LossCase
    >>> class TestMine(LossChecks):
    ...     def case(self):  # a pytest fixture
    ...         return LossCase("info-nce")
    >>> mine = TestMine()
    >>> mine.use(mine.case())
    """

    runs_on_meta = False

    def seen(self, case: LossCase, part: Any, *, media: bool = True) -> Seen:
        """What a pass saw: N media of each modality, two in each row, or none at all."""
        generator = torch.Generator().manual_seed(5)
        device = next((t.device for t in (*part.parameters(), *part.buffers())), torch.device("cpu"))

        def draw(*shape: int) -> Tensor:
            return torch.randn(shape, generator=generator).to(device).requires_grad_()

        hidden = draw(_ROWS, _LENGTH, case.hidden_size)
        found: dict[str, SeenMedia] = {}
        for name, space in case.spaces.items() if media else ():
            shape = (_MEDIA, space.tokens, space.dim)
            states = draw(_MEDIA, space.tokens + 1, case.hidden_size)
            sample = torch.arange(_MEDIA, device=device) // 2
            found[name] = SeenMedia(draw(*shape).detach(), draw(*shape), states, sample)
        return Seen(hidden, found)

    def outputs(self, case: LossCase, part: Any) -> dict[str, Tensor]:
        """Sum and count."""
        total, count = part(self.seen(case, part))
        return {"total": total, "count": torch.as_tensor(count)}

    @check("return a sum () and the number () of things it is summed over, both tensors")
    def test_gives_a_sum_and_a_count(self, case: LossCase) -> None:
        """The sum is one finite number, the count one that is not below 0 and passes no gradient."""
        part = self.shaken(case)
        given = part(self.seen(case, part))
        require(isinstance(given, tuple) and len(given) == 2, "it does not return a sum and a count")
        for what, value in zip(("sum", "count"), given):
            require(isinstance(value, Tensor) and value.shape == (), f"the {what} is no tensor of shape ()")
            require(bool(value.isfinite()), f"the {what} is NaN or infinite")
        require(not given[1].requires_grad, "the count depends on predictions; detach it")
        require(float(given[1]) > 0, "it counts none of the media; name spaces in the case that it looks at")

    @check("return zero and count zero where a batch has nothing that the loss is about")
    def test_takes_a_batch_without_media(self, case: LossCase) -> None:
        """A batch without any medium is no error, and what it counts nothing of is worth nothing."""
        part = self.shaken(case)
        with torch.no_grad():
            total, count = part(self.seen(case, part, media=False))
        require(bool(total.isfinite()) and total.shape == (), "without media the sum is no finite number")
        require(float(count) > 0 or float(total) == 0, "without media it counts nothing, but its sum is not zero")

    @check("compute from predicted, hidden and parameters without detaching them")
    def test_passes_gradient(self, case: LossCase) -> None:
        """It teaches the model: predictions or hidden states get a gradient, and its parameters, if it has any."""
        part = self.shaken(case).train()
        seen = self.seen(case, part)
        total, _ = part(seen)
        if total.requires_grad:
            total.backward()
        reached = any(t.grad is not None and bool(t.grad.any()) for t in _taught(seen))
        require(reached, "no gradient reaches hidden states or predictions")
        self.require_gradient(part, "in training")


def _taught(seen: Seen) -> Iterator[Tensor]:
    """What of a pass a loss can teach."""
    yield seen.hidden
    for media in seen.media.values():
        yield media.predicted
        yield media.hidden
