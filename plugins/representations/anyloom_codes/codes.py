"""The representation `codes`: discrete tokens of a codebook, predicted by cross entropy.

As in AnyGPT (arXiv 2402.12226) and Emu3 (arXiv 2409.18869). The n codes of a medium take n positions in reading order;
each is predicted one position before its own and fed back.

Shape legend: N media, n codes of a medium, K entries of the codebook, R media in the making, H hidden size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from pydantic import NonNegativeFloat
from torch import Tensor, nn
from torch.nn import functional as F

from anyloom.errors import ConfigError
from anyloom.interfaces import Before, ComponentConfig, FeatureSpace, Representation

__all__ = ["Codes"]


@dataclass
class _Made:
    """One medium in the making: its codes so far, and where chance comes from."""

    generator: torch.Generator
    codes: list[int] = field(default_factory=list)


class Codes(Representation):
    """An embedding per code and position, and a head over the codebook.

    >>> space = FeatureSpace(name="toy", dim=1, tokens=3, scale="code", codes=16)
    >>> toy = Codes(Codes.Config(), given=space, target=space, hidden_size=6)
    >>> codes = torch.tensor([[[3.0], [0.0], [15.0]]])
    >>> toy.embed(codes, None).shape, toy.read(torch.zeros(1, 4, 6), None).shape
    (torch.Size([1, 3, 6]), torch.Size([1, 3, 1]))
    """

    differentiable: ClassVar[bool] = False

    class Config(ComponentConfig):
        """Options.

        Args:
            temperature: Of the codes when generating; 0 takes the likeliest.
        """

        temperature: NonNegativeFloat = 1.0

    config: Config

    def __init__(self, config: Config, *, given: FeatureSpace, target: FeatureSpace, hidden_size: int) -> None:
        super().__init__(config, given=given, target=target, hidden_size=hidden_size)
        if given != target or target.codes is None:
            raise ConfigError(
                f"codes are numbers of one codebook, but {given} is read and {target} predicted",
                where="representation",
                fix="name an encoder that gives codes, such as vq",
            )
        self.table = nn.Embedding(target.codes, hidden_size)
        self.position = nn.Parameter(torch.zeros(target.tokens, hidden_size))
        self.norm = nn.LayerNorm(hidden_size)
        self.head = nn.Linear(hidden_size, target.codes)
        nn.init.normal_(self.table.weight, std=0.02)
        nn.init.normal_(self.position, std=0.02)

    def embed(self, features: Tensor, before: Before | None) -> Tensor:
        """Embeddings ``(N, n, H)`` of codes ``(N, n, 1)``."""
        embedded: Tensor = self.table(labels(features)) + self.position
        return embedded

    def embed_target(self, features: Tensor, before: Before | None) -> Tensor:
        """The true codes ``(N, L, 1)``, read as any others: ``(N, n, H)``."""
        return self.embed(features, before)

    def scores(self, hidden: Tensor) -> Tensor:
        """Scores ``(..., K)`` of the next code for hidden states ``(..., H)``."""
        scored: Tensor = self.head(self.norm(hidden.to(self.position.dtype)))
        return scored

    def read(self, hidden: Tensor, before: Before | None) -> Tensor:
        """The likeliest codes ``(N, n, 1)``; no gradient flows through them."""
        return self.scores(hidden[:, :-1]).argmax(-1, keepdim=True).float()

    def loss(self, hidden: Tensor, features: Tensor, before: Before | None) -> Tensor:
        """Cross entropy in nats, the mean over a medium's codes ``(N,)``."""
        scores = self.scores(hidden[:, :-1]).float()
        return F.cross_entropy(scores.transpose(1, 2), labels(features), reduction="none").mean(1)

    def begin(self, before: Tensor | None, generator: torch.Generator) -> _Made:
        """No code yet."""
        return _Made(generator)

    def step(self, hidden: Tensor, states: Sequence[Any]) -> Tensor:
        """Choose the next code of each row from ``(R, H)``, keep it and feed it back as ``(R, H)``."""
        scores = self.scores(hidden).float()
        for state, own in zip(states, scores):
            state.codes.append(self._chosen(own, state.generator))
        codes = torch.tensor([state.codes[-1] for state in states], device=hidden.device)
        places = torch.tensor([len(state.codes) - 1 for state in states], device=hidden.device)
        embedded: Tensor = self.table(codes) + self.position[places]
        return embedded

    def _chosen(self, scores: Tensor, generator: torch.Generator) -> int:
        if not self.config.temperature:
            return int(scores.argmax())
        share = (scores / self.config.temperature).softmax(-1).cpu()
        return int(torch.multinomial(share, 1, generator=generator))

    def finish(self, hidden: Tensor, states: Sequence[Any]) -> Tensor:
        """The codes that were chosen ``(R, n, 1)``."""
        return torch.tensor([state.codes for state in states], device=hidden.device, dtype=torch.float32)[..., None]


def labels(features: Tensor) -> Tensor:
    """Codes ``(N, n)`` as whole numbers, from features ``(N, n, 1)``."""
    return features[..., 0].round().long()
