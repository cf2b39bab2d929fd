"""The representation `queries`.

Where a medium is to be made, the LLM reads n learned vectors, the same for every medium; a small transformer turns the
hidden states at these positions into the medium's features (GILL, arXiv 2305.17216; NExT-GPT, arXiv 2309.05519;
MetaQuery, arXiv 2504.06256). Nothing of a true feature enters the sequence, so training and generation see the same.

Shape legend: N media, L features per medium, D feature dim, n queries, W width of the reader, H hidden size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from pydantic import Field, PositiveInt, model_validator
from torch import Tensor, nn

from anyloom.building import build_named
from anyloom.errors import ConfigError
from anyloom.interfaces import Before, ComponentConfig, FeatureSpace, NeuralComponent, Projector, Representation
from anyloom.options import WrongOptionsError
from anyloom.representation.regression import regression_loss

__all__ = ["Queries"]


@dataclass
class _Made:
    """One medium in the making: hidden states ``(H,)`` at the queries that have been read, from the begin tag on."""

    hidden: list[Tensor] = field(default_factory=list)


class Queries(Representation):
    """Media that are read go through a projector; media that are made stand as learned queries.

    >>> space = FeatureSpace(name="toy", dim=4, tokens=2)
    >>> toy = Queries(Queries.Config(queries=3, width=8, heads=2), given=space, target=space, hidden_size=6)
    >>> toy.embed_target(torch.zeros(5, 2, 4), None).shape, toy.read(torch.zeros(5, 4, 6), None).shape
    (torch.Size([5, 3, 6]), torch.Size([5, 2, 4]))
    """

    class Config(ComponentConfig):
        """Options.

        Args:
            queries: n, positions that a medium takes.
            input_projector: Component that maps features of media that are read to the LLM's width.
            width: Width of the reader.
            heads: Attention heads of the reader.
            layers: Layers of the reader, each with self-attention and a look at the queries' hidden states.
            loss: ``mse``, or ``cosine`` (1 - cosine).
        """

        queries: PositiveInt = 8
        input_projector: dict[str, Any] = Field(default_factory=lambda: {"name": "mlp"})
        width: PositiveInt = 256
        heads: PositiveInt = 4
        layers: PositiveInt = 2
        loss: Literal["mse", "cosine"] = "mse"

        @model_validator(mode="after")
        def _divides(self) -> Queries.Config:
            if self.width % self.heads:
                raise WrongOptionsError({"width": f"{self.width} is no multiple of {self.heads} heads"})
            return self

    config: Config

    def __init__(self, config: Config, *, given: FeatureSpace, target: FeatureSpace, hidden_size: int) -> None:
        super().__init__(config, given=given, target=target, hidden_size=hidden_size)
        if target.codes is not None or given.codes is not None:
            raise ConfigError(
                "numbers of a codebook cannot be regressed", where="representation", fix="name: codes reads them"
            )
        self.input_projector: Projector = build_named(
            "projector", config.input_projector, where="input_projector", in_dim=given.dim, out_dim=hidden_size
        )
        self.queries = nn.Parameter(0.02 * torch.randn(config.queries, hidden_size))
        self.enter = nn.Linear(hidden_size, config.width)
        self.slots = nn.Parameter(0.02 * torch.randn(target.tokens, config.width))
        layer = nn.TransformerDecoderLayer(
            config.width,
            config.heads,
            dim_feedforward=4 * config.width,
            dropout=0.0,
            activation="gelu",
            batch_first=True,
            norm_first=True,
        )
        self.reader = nn.TransformerDecoder(layer, config.layers, norm=nn.LayerNorm(config.width))
        self.leave = nn.Linear(config.width, target.dim)

    @property
    def num_positions(self) -> int:
        """n, the number of queries."""
        return int(self.config.queries)

    def nested(self) -> dict[str, NeuralComponent]:
        """The input projector."""
        return {"input_projector": self.input_projector}

    def load_weights(self) -> None:
        """Load the file that the projector's options name."""
        self.input_projector.load_weights()

    def embed(self, features: Tensor, before: Before | None) -> Tensor:
        """Embeddings ``(N, L, H)`` of media that are read."""
        embedded: Tensor = self.input_projector(features.to(self.queries.dtype))
        return embedded

    def embed_target(self, features: Tensor, before: Before | None) -> Tensor:
        """The queries ``(N, n, H)``, whatever the true features are."""
        return self.queries.expand(len(features), -1, -1)

    def read(self, hidden: Tensor, before: Before | None) -> Tensor:
        """Features ``(N, L, D)`` from the hidden states at the queries; the one at the begin tag is not needed."""
        memory = self.enter(hidden[:, 1:].to(self.queries.dtype))
        slots = self.slots.expand(len(hidden), -1, -1)
        features: Tensor = self.leave(self.reader(slots, memory))
        return features

    def loss(self, hidden: Tensor, features: Tensor, before: Before | None) -> Tensor:
        """Regression error ``(N,)`` of what is read out."""
        return regression_loss(self.read(hidden, before), features, self.config.loss)

    def begin(self, before: Tensor | None, generator: torch.Generator) -> _Made:
        """Nothing read yet."""
        return _Made()

    def step(self, hidden: Tensor, states: Sequence[Any]) -> Tensor:
        """The next query ``(R, H)`` of each row."""
        for state, own in zip(states, hidden):
            state.hidden.append(own)
        return self.queries[torch.tensor([len(state.hidden) - 1 for state in states], device=hidden.device)]

    def finish(self, hidden: Tensor, states: Sequence[Any]) -> Tensor:
        """Features ``(R, L, D)`` read out of all queries at once."""
        every = [torch.stack([*state.hidden, last]) for state, last in zip(states, hidden)]
        return self.read(torch.stack(every), None)
