"""Tokenizer and causal language model that takes and returns embeddings."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from anyloom.interfaces.component import ComponentConfig, NeuralComponent

__all__ = ["LLM", "LLMOutput", "Tokenizer"]


class Tokenizer(ABC):
    """Text and chat markup as ids. Light and picklable: data workers get this, not the model.

    Attributes:
        eos_id: Ends an assistant message.
        pad_id: Fills positions that carry no token.
    """

    eos_id: int
    pad_id: int

    @abstractmethod
    def encode(self, text: str) -> list[int]:
        """Tokenize text as plain text: whatever a user types, no special token comes out."""

    @abstractmethod
    def decode(self, ids: Sequence[int]) -> str:
        """Text of ids; special and added tokens are left out."""

    @abstractmethod
    def chat_parts(self, roles: Sequence[str]) -> list[tuple[list[int], list[int]]]:
        """Ids to put before and after each message of a conversation with these roles.

        The suffix of an assistant message ends with :attr:`eos_id`, which the model learns to predict.
        """

    @abstractmethod
    def special_ids(self) -> list[int]:
        """Ids that text generation must not sample: everything special but :attr:`eos_id`."""


@dataclass
class LLMOutput:
    """What one pass gives.

    Args:
        hidden: Last hidden states ``(B, S, H)``, after the final norm: what the output head reads.
        cache: Key/value cache to pass to the next call, or None.
    """

    hidden: Tensor
    cache: Any = None


class LLM(NeuralComponent):
    """A causal LM that reads interleaved embeddings."""

    class Config(ComponentConfig):
        """Options that every LLM has.

        Args:
            freeze: Keep the pretrained parameters fixed; rows of added tokens are trained all the same.
        """

        freeze: bool = False

    tokenizer: Tokenizer
    hidden_size: int

    @abstractmethod
    def add_tokens(self, tokens: Sequence[str]) -> list[int]:
        """Add special tokens with rows of their own and return their ids; old rows stay where they are."""

    @abstractmethod
    def embed(self, ids: Tensor) -> Tensor:
        """Embeddings ``(..., H)`` of ids ``(...)``, added tokens included."""

    @abstractmethod
    def forward(
        self,
        embeddings: Tensor,
        attention_mask: Tensor,
        position_ids: Tensor,
        cache: Any = None,
        use_cache: bool = False,
    ) -> LLMOutput:
        """One causal pass.

        Args:
            embeddings: ``(B, S, H)``.
            attention_mask: ``(B, P + S)`` with 1 where a position may be read; P positions are in the cache.
            position_ids: ``(B, S)``.
            cache: What an earlier call returned.
            use_cache: Return a cache that a later call extends.
        """

    @abstractmethod
    def logits(self, hidden: Tensor) -> Tensor:
        """Scores ``(..., V)`` over the old vocabulary and the added tokens for hidden states ``(..., H)``."""
