"""Checks of projectors: features to hidden states, or back."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from anyloom.testing.case import ProjectorCase
from anyloom.testing.checking import check, require
from anyloom.testing.neural import NeuralChecks, close

__all__ = ["ProjectorChecks"]


class ProjectorChecks(NeuralChecks):
    """Inherit and supply the fixture ``case``, an :class:`anyloom.testing.ProjectorCase`.

    >>> from anyloom.testing import ProjectorCase
    >>> class TestMine(ProjectorChecks):
    ...     def case(self):  # a pytest fixture
    ...         return ProjectorCase("mlp", options={"hidden_dim": 8})
    >>> mine = TestMine()
    >>> mine.use(mine.case())
    """

    shapes_in: ClassVar[tuple[str, ...]] = ("forward",)

    def outputs(self, case: ProjectorCase, part: Any) -> dict[str, Tensor]:
        """The projection of ``(3, 2, in_dim)``."""
        return {"projection": part(self.inputs(case, part))}

    def inputs(self, case: ProjectorCase, part: Any) -> Tensor:
        """Inputs ``(3, 2, in_dim)``."""
        device = next((t.device for t in (*part.parameters(), *part.buffers())), torch.device("cpu"))
        return torch.randn(3, 2, case.in_dim, generator=torch.Generator().manual_seed(5)).to(device)

    @check("keep all dimensions but the last")
    def test_keeps_leading_dimensions(self, case: ProjectorCase) -> None:
        """It maps (..., in_dim) to (..., out_dim) for any number of leading dimensions, without NaN."""
        part = self.shaken(case)
        x = self.inputs(case, part)
        for shape in ((3, 2), (6,), (1, 3, 2)):
            given = x.reshape(*shape, -1)
            y, expected = part(given), (*shape, case.out_dim)
            require(y.shape == expected, f"{tuple(given.shape)} becomes {tuple(y.shape)}, not {expected}")
            require(bool(y.isfinite().all()), "the projection holds NaN or infinite values")

    @check("normalise over the last dimension only")
    def test_batch_equals_singles(self, case: ProjectorCase) -> None:
        """A row's projection does not depend on the other rows."""
        part = self.shaken(case)
        x = self.inputs(case, part)
        alone = torch.cat([part(x[i : i + 1]) for i in range(3)])
        require(close(part(x), alone), "projections change with the batch")

    @check("detach nothing in forward")
    def test_passes_gradient(self, case: ProjectorCase) -> None:
        """Gradient reaches its input and its parameters: projectors are always trained."""
        part = self.shaken(case).train()
        x = self.inputs(case, part).requires_grad_()
        y = part(x)
        if y.requires_grad:
            (y * torch.randn_like(y)).sum().backward()
        reached = x.grad is not None and bool((x.grad.abs().sum(-1) > 0).all())
        require(reached, "no gradient reaches some of the inputs")
        frozen = [n for n, p in part.named_parameters() if not p.requires_grad]
        require(not frozen, f"these parameters cannot be trained: {', '.join(frozen[:3])}")
        self.require_gradient(part, "in training")
