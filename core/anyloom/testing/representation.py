"""Checks of representations: how media stand in the sequence and are read out of it.

Shape legend: N media, L features per medium, D feature dim, n positions of a medium that is produced, H hidden size.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from anyloom.interfaces.feature_space import FeatureSpace
from anyloom.interfaces.representation import Before
from anyloom.testing.case import RepresentationCase
from anyloom.testing.checking import check, require
from anyloom.testing.neural import NeuralChecks, close

__all__ = ["RepresentationChecks"]

_MEDIA = 3


class RepresentationChecks(NeuralChecks):
    """Inherit and supply the fixture ``case``, an :class:`anyloom.testing.RepresentationCase`.

    A representation that samples is tried with options under which it takes what is likeliest.

    >>> from anyloom.testing import RepresentationCase
    >>> class TestMine(RepresentationChecks):
    ...     def case(self):  # a pytest fixture
    ...         return RepresentationCase("parallel")
    >>> mine = TestMine()
    >>> mine.use(mine.case())
    """

    runs_on_meta = False

    def features(self, space: FeatureSpace, part: Any, seed: int = 5) -> Tensor:
        """Features ``(N, L, D)`` of a space."""
        generator, shape = torch.Generator().manual_seed(seed), (_MEDIA, space.tokens, space.dim)
        if space.codes is not None:
            return torch.randint(space.codes, shape, generator=generator).float()
        return torch.randn(shape, generator=generator).to(next(part.parameters()).dtype)

    def hidden(self, case: RepresentationCase, part: Any) -> Tensor:
        """Hidden states ``(N, n + 1, H)``."""
        return torch.randn(_MEDIA, part.num_positions + 1, case.hidden_size, generator=torch.Generator().manual_seed(7))

    def before(self, case: RepresentationCase, part: Any) -> Before | None:
        """What stands before: nothing before the first medium."""
        if not part.uses_before:
            return None
        features = self.features(case.given, part, seed=9)
        exists = torch.tensor([False] + [True] * (_MEDIA - 1))
        return Before(features * exists[:, None, None], exists)

    def outputs(self, case: RepresentationCase, part: Any) -> dict[str, Tensor]:
        """Embeddings, loss and what is read."""
        given, target = self.features(case.given, part), self.features(case.predicted, part)
        hidden, before = self.hidden(case, part), self.before(case, part)
        return {
            "embeddings": part.embed(given, before),
            "embeddings of targets": part.embed_target(target, before),
            "losses": part.loss(hidden, target, before),
            "features": part.read(hidden, before),
        }

    @check("embed gives (N, L, H), embed_target (N, n, H), loss (N,), read (N, L, D)")
    def test_shapes(self, case: RepresentationCase) -> None:
        """Everything has the shape that the sequence and the decoders count on, without NaN."""
        part = self.shaken(case)
        space = case.predicted
        expected = {
            "embeddings": (_MEDIA, case.given.tokens, case.hidden_size),
            "embeddings of targets": (_MEDIA, part.num_positions, case.hidden_size),
            "losses": (_MEDIA,),
            "features": (_MEDIA, space.tokens, space.dim),
        }
        for name, value in self.outputs(case, part).items():
            require(tuple(value.shape) == expected[name], f"{name} are {tuple(value.shape)}, not {expected[name]}")
            require(bool(value.isfinite().all()), f"{name} hold NaN or infinite values")

    @check("let no medium have a part in another's results")
    def test_batch_equals_singles(self, case: RepresentationCase) -> None:
        """A medium's results do not depend on its batch-mates."""
        part = self.shaken(case)
        given, target = self.features(case.given, part), self.features(case.predicted, part)
        hidden, before = self.hidden(case, part), self.before(case, part)
        whole = self.outputs(case, part)
        for n in range(_MEDIA):
            own, one = (
                None if before is None else Before(before.features[n, None], before.exists[n, None]),
                slice(n, n + 1),
            )
            alone = {
                "embeddings": part.embed(given[one], own),
                "embeddings of targets": part.embed_target(target[one], own),
                "losses": part.loss(hidden[one], target[one], own),
                "features": part.read(hidden[one], own),
            }
            for name, value in alone.items():
                require(close(value[0], whole[name][n]), f"{name} change with the batch")

    @check("let begin, step and finish go through the same values as read")
    def test_steps_give_what_is_read_at_once(self, case: RepresentationCase) -> None:
        """Fed the hidden states one by one, it makes the features that it reads from all of them at once."""
        part = self.shaken(case)
        hidden, before = self.hidden(case, part), self.before(case, part)
        states = []
        for n in range(_MEDIA):
            own = None if before is None or not before.exists[n] else before.features[n]
            states.append(part.begin(own, torch.Generator().manual_seed(n)))
        for position in range(part.num_positions):
            embedded = part.step(hidden[:, position], states)
            shape = (_MEDIA, case.hidden_size)
            require(tuple(embedded.shape) == shape, f"a step gives {tuple(embedded.shape)}, not {shape}")
        made = part.finish(hidden[:, part.num_positions], states)
        require(close(made, part.read(hidden, before)), "features made step by step differ from those read at once")

    @check("let the loss reach hidden states and parameters; set differentiable: False if read cannot pass gradient")
    def test_passes_gradient(self, case: RepresentationCase) -> None:
        """Its loss teaches the language model and its own parameters; what is read passes gradient if it says so."""
        part = self.shaken(case).train()
        hidden = self.hidden(case, part).requires_grad_()
        target, before = self.features(case.predicted, part), self.before(case, part)
        part.loss(hidden, target, before).sum().backward()
        require(hidden.grad is not None and bool(hidden.grad.any()), "the loss does not reach the hidden states")
        if part.differentiable:
            hidden = self.hidden(case, part).requires_grad_()
            read = part.read(hidden, before)
            if read.requires_grad:
                (read * torch.randn_like(read)).sum().backward()
            require(hidden.grad is not None and bool(hidden.grad.any()), "what is read passes no gradient")
        embedded = part.embed(self.features(case.given, part), before), part.embed_target(target, before)
        sum((e * torch.randn_like(e)).sum() for e in embedded).backward()
        self.require_gradient(part, "in training")
