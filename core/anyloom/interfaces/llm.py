"""Tokenizer and causal language model that takes and returns embeddings.

Shape legend: B rows, S positions, P positions in the cache, M placed vectors, K positions with scores, H hidden size,
V vocabulary with added tokens.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, Self

from torch import Tensor
from torch.utils._pytree import register_dataclass

from anyloom.interfaces.component import ComponentConfig, NeuralComponent

__all__ = ["LLM", "KVCache", "LLMInputs", "LLMOutput", "Tokenizer"]


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


class KVCache(Protocol):
    """Keys and values of positions that were read before, for B rows of P positions each."""

    @property
    def length(self) -> int:
        """P."""

    def crop(self, length: int) -> None:
        """Forget all but the first ``length`` positions, in place."""

    def trim(self, count: int) -> None:
        """Forget the first ``count`` positions, in place: padding that no row needs any more."""

    def select(self, rows: Tensor) -> Self:
        """A cache of some rows ``(B',)``, in this order."""


@dataclass
class LLMInputs:
    """What one causal pass reads.

    Args:
        ids: Token ids ``(B, S)``; positions of placed vectors hold any id of the vocabulary.
        position_ids: ``(B, S)``, starting at 0 in every sample.
        segments: Sample of each position ``(B, P + S)``, numbered from 1 in each row; 0 where nothing is (padding).
            A position reads the positions of its own sample up to itself, in the cache and here. Without a cache,
            several samples may stand in one row (packing).
        rows: Rows of placed vectors ``(M,)``.
        positions: Their positions among the S ``(M,)``.
        vectors: Embeddings ``(M, H)`` that stand there in place of a token's.
        logits_at: Rows and positions ``(K, 2)`` at which scores are wanted; None for none.
        cache: What an earlier call returned. It is extended in place.
        keep_cache: Return a cache that a later call extends.
    """

    ids: Tensor
    position_ids: Tensor
    segments: Tensor
    rows: Tensor | None = None
    positions: Tensor | None = None
    vectors: Tensor | None = None
    logits_at: Tensor | None = None
    cache: KVCache | None = None
    keep_cache: bool = False


@dataclass
class LLMOutput:
    """What one causal pass gives.

    Args:
        hidden: Last hidden states ``(B, S, H)``, after the final norm: what the output head reads.
        logits: Scores ``(K, V)`` at ``logits_at``, scaled as the model itself scales them; None if none were wanted.
        cache: Cache of ``P + S`` positions, or None.
    """

    hidden: Tensor
    logits: Tensor | None = None
    cache: KVCache | None = None


# FSDP and DDP find the tensors of inputs and outputs by walking pytrees; unregistered classes would hide them.
register_dataclass(LLMInputs)
register_dataclass(LLMOutput)


class LLM(NeuralComponent):
    """A causal LM that reads interleaved embeddings.

    All parameters are used inside :meth:`forward` and nowhere else, so that sharding and compiling, which hook into
    it, always see them.
    """

    class Config(ComponentConfig):
        """Options that every LLM has.

        Args:
            freeze: Keep the pretrained parameters fixed; rows of added tokens are trained all the same.
        """

        freeze: bool = False

    tokenizer: Tokenizer
    hidden_size: int
    max_positions: int | None = None
    """Longest sequence its position table or training allows; None if there is no such limit."""

    @abstractmethod
    def add_tokens(self, tokens: Sequence[str]) -> list[int]:
        """Add special tokens with rows of their own and return their ids; old rows stay where they are."""

    @abstractmethod
    def forward(self, x: LLMInputs) -> LLMOutput:
        """One causal pass; see :class:`LLMInputs` and :class:`LLMOutput`."""

    @abstractmethod
    def join(self, caches: Sequence[KVCache]) -> KVCache:
        """One cache with the rows of several, one under another; shorter ones are padded on the left.

        What stands in the padding is never read: the caller marks it with 0 in ``segments``.
        """
