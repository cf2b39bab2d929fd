"""Runs what a batch has no use for on examples, times zero, so that every process runs the same parts in one order.

Processes that share parameters meet wherever these are used: for gradients, or for shards. A process that left a
component out would leave the others waiting.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from anyloom.interfaces.component import NeuralComponent
from anyloom.interfaces.decoder import Condition
from anyloom.interfaces.representation import Before
from anyloom.network.config import ModalityConfig, ModelConfig
from anyloom.network.parts import Parts
from anyloom.network.spaces import Spaces
from anyloom.sequence.batch import MediaBatch
from anyloom.sequence.interleave import Tags

__all__ = ["Idle"]


class Idle:
    """Collects zeros ``()`` that depend on what was run.

    Args:
        config: Of the model.
        parts: The components.
        spaces: Feature spaces by modality.
        tags: Tags by modality.
        device: Where the components are.
    """

    def __init__(
        self,
        config: ModelConfig,
        parts: Parts,
        spaces: Mapping[str, Spaces],
        tags: Mapping[str, Tags],
        device: torch.device,
    ) -> None:
        self.config, self.parts, self.spaces, self.tags, self.device = config, parts, spaces, tags, device
        self._zeros: list[Tensor] = []

    def _add(self, result: Tensor) -> None:
        self._zeros.append(result.float().sum() * 0.0)

    def encoders(self, name: str, options: ModalityConfig, media: MediaBatch | None) -> None:
        """Encoders of a modality that no medium of the batch has been through."""
        other = options.target_encoder not in (None, options.encoder)
        for key, inputs in (
            (options.encoder, None if media is None else media.given),
            (options.target_encoder if other else None, None if media is None else media.wanted),
        ):
            if key is None or (inputs is not None and inputs.inputs is not None):
                continue
            encoder = self.parts.encoder(key)
            if is_shared(encoder):
                with torch.set_grad_enabled(torch.is_grad_enabled() and not encoder.frozen):
                    self._add(encoder(encoder.example(name).to(self.device), name))

    def embed(self, name: str) -> Tensor:
        """Embeddings ``(1, L, H)`` of a modality of which nothing is read."""
        given = self.spaces[name].given
        assert given is not None
        blank = self._blank(given.tokens, given.dim, self.config.modalities[name].encoder)
        return self.parts.representation(name).embed(blank, self._before(name))

    def embed_target(self, name: str) -> Tensor:
        """Embeddings ``(1, n, H)`` of a modality of which nothing is to be produced."""
        space, representation = self.spaces[name].predicted, self.parts.representation(name)
        blank = self._blank(space.tokens, space.dim, self.config.modalities[name].predicted)
        return representation.embed_target(blank, self._before(name))

    def predict(self, name: str, hidden: Tensor, *, reads: bool) -> None:
        """The loss of a modality of which nothing is to be produced, and its predictions where they are wanted.

        Args:
            name: The modality.
            hidden: Hidden states ``(B, S, H)`` of the batch.
            reads: Whether predictions are wanted.
        """
        space, representation = self.spaces[name].predicted, self.parts.representation(name)
        states = self._states(name, hidden)
        if self.spaces[name].supervised:
            self._add(representation.loss(states, self._blank(space.tokens, space.dim), self._before(name)))
        if reads:
            self._add(representation.read(states, self._before(name)))

    def decoder(self, key: str) -> None:
        """A decoder that has nothing to learn from the batch."""
        decoder = self.parts.decoder(key)
        if is_shared(decoder):
            space = decoder.feature_space()
            features = self._blank(space.tokens, space.dim).requires_grad_()
            self._add(decoder(Condition(features), decoder.example().to(self.device)))

    def total(self) -> Tensor:
        """The sum of all zeros ``()``; also touches what is never sharded and may not have been used."""
        for part in self.parts.components():
            if part.kind in ("coupler", "loss"):
                touched = (p.flatten()[:0].sum().float() for p in part.component.parameters() if p.requires_grad)
                self._zeros += list(touched)
        return torch.stack(self._zeros).sum() if self._zeros else torch.zeros((), device=self.device)

    def _blank(self, tokens: int, dim: int, encoder: str | None = None) -> Tensor:
        """Features of nothing. They ask for gradients where an encoder's would: sharded parts look at that."""
        trained = encoder is not None and not self.parts.encoder(encoder).frozen
        return torch.zeros(1, tokens, dim, device=self.device, requires_grad=trained)

    def _before(self, name: str) -> Before | None:
        if not self.parts.representation(name).uses_before:
            return None
        space = self.spaces[name].predicted
        blank = self._blank(space.tokens, space.dim, self.config.modalities[name].encoder)
        return Before(blank, torch.zeros(1, dtype=torch.bool, device=self.device))

    def _states(self, name: str, hidden: Tensor) -> Tensor:
        """Hidden states ``(1, n + 1, H)`` that depend on the language model, so that its gradient is asked for."""
        return hidden[:1, :1].expand(1, self.tags[name].made + 1, -1)


def is_shared(component: NeuralComponent) -> bool:
    """Whether other processes wait for this one to run a component: for gradients, or for shards of its parameters.

    >>> is_shared(NeuralComponent(None))  # no parameters
    False
    """
    return any(p.requires_grad or hasattr(p, "device_mesh") for p in component.parameters())
