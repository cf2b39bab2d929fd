"""Checks of couplers: two decoders that agree."""

from __future__ import annotations

import unittest
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from anyloom.interfaces.decoder import Condition
from anyloom.testing.case import CouplerCase
from anyloom.testing.checking import check, require
from anyloom.testing.decoder import condition_of, targets_of
from anyloom.testing.neural import NeuralChecks, close

__all__ = ["CouplerChecks"]

_ROUNDING = 1e-3


class CouplerChecks(NeuralChecks):
    """Inherit and supply the fixture ``case``, an :class:`anyloom.testing.CouplerCase`."""

    runs_on_meta = False

    def pair(self, case: CouplerCase) -> list[Any]:
        """The two decoders, frozen, with every parameter moved a little."""
        torch.manual_seed(2)
        decoders = [own.build(freeze=True).eval() for own in case.decoders]
        with torch.no_grad():
            for parameter in (p for decoder in decoders for p in decoder.parameters()):
                parameter.add_(0.1 * torch.randn_like(parameter))
        return decoders

    def conditions(self, pair: Sequence[Any], rows: int) -> list[Condition]:
        """Conditions of both sides."""
        return [condition_of(decoder, rows, seed=3 + n) for n, decoder in enumerate(pair)]

    def targets(self, case: CouplerCase, pair: Sequence[Any]) -> list[Tensor]:
        """Two targets ``(2, ...)`` of each side."""
        return [targets_of(own, decoder)[:2] for own, decoder in zip(case.decoders, pair)]

    def generate(self, case: CouplerCase, part: Any, conditions: Sequence[Condition], seeds: Any) -> list[Tensor]:
        """What is made of the first row of both sides, as float tensors ``(...)``."""
        pair = self.pair(case)
        sampling = [decoder.Sampling(**own.sampling) for own, decoder in zip(case.decoders, pair)]
        made = part.generate(pair, conditions, seeds=seeds, sampling=sampling)
        require(len(made) == 2, f"it makes media of {len(made)} sides")
        for items, decoder, condition in zip(made, pair, conditions):
            require(len(items) == len(condition.features), "it does not make one media item per row on each side")
            wrong = [item.modality for item in items if item.modality != decoder.modality]
            require(not wrong, f"it makes {wrong[:1]} on the side of {decoder.modality!r}")
        return [items[0].tensor().float() for items in made]

    def outputs(self, case: CouplerCase, part: Any) -> dict[str, Tensor]:
        """The losses of both sides, and what is made."""
        pair = self.pair(case)
        first, second = part(pair, self.conditions(pair, 2), self.targets(case, pair), [[1, 2], [3, 4]])
        made = self.generate(case, part, self.conditions(pair, 1), [[1], [3]])
        return {"first": first, "second": second, "made_first": made[0], "made_second": made[1]}

    @check("keep no decoder as a submodule: they come with every call, and are saved by themselves")
    def test_holds_no_decoder(self, case: CouplerCase) -> None:
        """Its state has no tensor of a decoder."""
        held = [name for name, module in self.made(case).named_modules() if type(module) in self._classes(case)]
        require(not held, f"it holds a decoder as {', '.join(held)}")

    def _classes(self, case: CouplerCase) -> set[type[Any]]:
        return {own.cls for own in case.decoders}

    @check("return two losses per row, one for each side, without a mean over the batch")
    def test_losses_have_a_value_for_each_row(self, case: CouplerCase) -> None:
        """Both losses are finite and of shape (B,)."""
        part, pair = self.shaken(case), self.pair(case)
        losses = part(pair, self.conditions(pair, 2), self.targets(case, pair))
        require(len(losses) == 2, f"it returns {len(losses)} losses")
        for loss in losses:
            require(loss.shape == (2,), f"for 2 rows a loss is {tuple(loss.shape)}")
            require(bool(loss.isfinite().all()), "a loss holds NaN or infinite values")

    @check("let either loss depend on both sides' features and on the coupler; detach nothing")
    def test_either_loss_teaches_both_sides(self, case: CouplerCase) -> None:
        """Gradient of either loss reaches the coupler and the features of both sides, and no frozen decoder."""
        for chosen in (0, 1):
            part, pair = self.shaken(case).train(), self.pair(case)
            conditions = self.conditions(pair, 2)
            for condition in conditions:
                condition.features.requires_grad_()
            part(pair, conditions, self.targets(case, pair), [[1, 2], [3, 4]])[chosen].sum().backward()
            for side, condition in enumerate(conditions):
                grad = condition.features.grad
                reached = grad is not None and bool((grad.abs().sum((1, 2)) > 0).all())
                require(reached, f"the loss of side {chosen} gives the features of side {side} no gradient")
            self.require_gradient(part, f"by the loss of side {chosen}")
            moved = [n for decoder in pair for n, p in decoder.named_parameters() if p.grad is not None]
            require(not moved, f"these parameters of a frozen decoder get gradient: {', '.join(moved[:3])}")

    @check("draw each row's chance from generators of its own two seeds")
    def test_row_does_not_depend_on_its_batch(self, case: CouplerCase) -> None:
        """A row under its two seeds has the same losses and media alone and in a batch."""
        part, pair = self.shaken(case), self.pair(case)
        conditions, targets = self.conditions(pair, 2), self.targets(case, pair)
        alone = [Condition(condition.features[:1]) for condition in conditions]
        together = part(pair, conditions, targets, [[1, 2], [3, 4]])
        single = part(pair, alone, [stack[:1] for stack in targets], [[1], [3]])
        if any(loss.shape != (2,) for loss in together):
            raise unittest.SkipTest("its losses have no value for each row")
        for both, one in zip(together, single):
            require(close(both[:1], one), "a row's loss changes with its batch")
        in_batch = self.generate(case, part, conditions, [[1, 2], [3, 4]])
        by_itself = self.generate(case, part, alone, [[1], [3]])
        other = self.generate(case, part, alone, [[7], [8]])
        for first, second, third in zip(in_batch, by_itself, other):
            apart, own = float((second - third).abs().mean()), float((first - second).abs().mean())
            what = f"alone and in a batch a row's media differ by {own:.2g}, under other seeds by {apart:.2g}"
            require(own <= _ROUNDING * max(apart, 1e-6), what)
