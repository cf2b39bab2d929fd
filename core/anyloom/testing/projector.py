"""Checks of projectors: features to hidden states, or back."""

from __future__ import annotations

import unittest
from typing import Any, ClassVar

import torch
from torch import Tensor

from anyloom.testing.case import ProjectorCase
from anyloom.testing.checking import check, require
from anyloom.testing.neural import NeuralChecks, close

__all__ = ["ProjectorChecks"]


class ProjectorChecks(NeuralChecks):
    """Inherit and supply the fixture ``case``, an :class:`anyloom.testing.ProjectorCase`.

    A projector with ``uses_source`` is tried with a source of ``out_dim`` and of ``in_dim``, as on the output and the
    input side; one of the two must work.
    """

    shapes_in: ClassVar[tuple[str, ...]] = ("forward",)

    def outputs(self, case: ProjectorCase, part: Any) -> dict[str, Tensor]:
        """The projection of ``(3, 2, in_dim)``."""
        x, source = self.inputs(case, part)
        return {"projection": part(x, source) if part.uses_source else part(x)}

    def inputs(self, case: ProjectorCase, part: Any) -> tuple[Tensor, Tensor | None]:
        """Inputs ``(3, 2, in_dim)``, and a source of the width that the projector takes."""
        device = next((t.device for t in (*part.parameters(), *part.buffers())), torch.device("cpu"))
        generator = torch.Generator().manual_seed(5)
        x = torch.randn(3, 2, case.in_dim, generator=generator).to(device)
        if not part.uses_source:
            return x, None
        for width in (case.out_dim, case.in_dim):
            source = torch.randn(3, 2, width, generator=generator).to(device)
            try:
                part(x, source)
            except RuntimeError:
                continue
            return x, source
        require(False, "uses_source is set, but neither a source of out_dim nor one of in_dim is taken")
        return x, None

    @check("keep all dimensions but the last")
    def test_keeps_leading_dimensions(self, case: ProjectorCase) -> None:
        """It maps (..., in_dim) to (..., out_dim) for any number of leading dimensions, without NaN."""
        part = self.shaken(case)
        x, source = self.inputs(case, part)
        for shape in ((3, 2), (6,), (1, 3, 2)):
            given = [t.reshape(*shape, -1) for t in (x, source) if t is not None]
            y = part(*given)
            expected = (*shape, case.out_dim)
            require(y.shape == expected, f"{tuple(given[0].shape)} becomes {tuple(y.shape)}, not {expected}")
            require(bool(y.isfinite().all()), "the projection holds NaN or infinite values")

    @check("normalise over the last dimension only")
    def test_batch_equals_singles(self, case: ProjectorCase) -> None:
        """A row's projection does not depend on the other rows."""
        part = self.shaken(case)
        given = [t for t in self.inputs(case, part) if t is not None]
        alone = torch.cat([part(*(t[i : i + 1] for t in given)) for i in range(3)])
        require(close(part(*given), alone), "projections change with the batch")

    @check("detach nothing in forward")
    def test_passes_gradient(self, case: ProjectorCase) -> None:
        """Gradient reaches its input and its parameters: projectors are always trained."""
        part = self.shaken(case).train()
        x, source = self.inputs(case, part)
        x.requires_grad_()
        y = part(x, source) if part.uses_source else part(x)
        if y.requires_grad:
            (y * torch.randn_like(y)).sum().backward()
        reached = x.grad is not None and bool((x.grad.abs().sum(-1) > 0).all())
        require(reached, "no gradient reaches some of the inputs")
        frozen = [n for n, p in part.named_parameters() if not p.requires_grad]
        require(not frozen, f"these parameters cannot be trained: {', '.join(frozen[:3])}")
        self.require_gradient(part, "in training")

    @check("let 'source' be None: the first media item of a conversation has nothing before it")
    def test_works_without_a_source(self, case: ProjectorCase) -> None:
        """A projector that uses a source works without one."""
        part = self.shaken(case)
        if not part.uses_source:
            raise unittest.SkipTest("it does not use the source")
        x, _ = self.inputs(case, part)
        require(part(x).shape == (3, 2, case.out_dim), "without a source the projection has another shape")
