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

from anyloom.conversation.segments import Media, Message
from anyloom.interfaces.component import ComponentConfig, NeuralComponent

__all__ = ["LLM", "KVCache", "LLMInputs", "LLMOutput", "Piece", "Tokenizer"]


@dataclass(frozen=True)
class Piece:
    """A part of a conversation as the model reads it: some tokens, or the place of one medium.

    Args:
        message: Number of the message that it belongs to; that of the message to come for what asks for an answer.
        ids: Tokens; none for a medium.
        learned: Whether the model is to produce it: text and media of an assistant, and the token that ends its turn.
        media: The medium that stands here.

    >>> Piece(message=1, ids=[5, 6], learned=True).media is None
    True
    """

    message: int
    ids: list[int]
    learned: bool = False
    media: Media | None = None


class Tokenizer(ABC):
    """Text and chat markup as ids. Light and picklable: data workers get this, not the model.

    Attributes:
        eos_id: Ends an assistant message: the token that its turn ends with, which the model learns to predict.
        stop_ids: Tokens that end an answer when the model gives one: :attr:`eos_id`, then others that do.
        pad_id: Fills positions that carry no token.

    >>> class Letters(Tokenizer):
    ...     eos_id, stop_ids, pad_id, special_ids = 0, (0,), 1, [1]
    ...     def encode(self, text):
    ...         return [ord(letter) for letter in text]
    ...     def decode(self, ids):
    ...         return "".join(chr(n) for n in ids if n > 1)
    ...     def render(self, messages, *, open_answer=False):
    ...         return [Piece(n, self.encode(m.text), m.role == "assistant") for n, m in enumerate(messages)]
    >>> Letters().render([Message("user", "hi")])[0].ids
    [104, 105]
    """

    eos_id: int
    stop_ids: Sequence[int]
    pad_id: int

    @abstractmethod
    def encode(self, text: str) -> list[int]:
        """Tokenize text as plain text: whatever a user types, no special token comes out."""

    @abstractmethod
    def decode(self, ids: Sequence[int]) -> str:
        """Text of ids; special and added tokens are left out."""

    @abstractmethod
    def render(self, messages: Sequence[Message], *, open_answer: bool = False) -> list[Piece]:
        """Write a conversation with its chat markup.

        All ids in order are those that the model was trained with for these messages, with every medium as if it were
        a word. No text of a message makes a special token.

        Args:
            messages: The conversation.
            open_answer: End where an assistant is to answer. These pieces begin those of the same conversation with
                the answer, up to the first that is learned.

        Raises:
            anyloom.errors.ConversationError: The markup knows no such order of roles.
        """

    @abstractmethod
    def special_ids(self) -> list[int]:
        """Ids that text generation must not sample: everything special but :attr:`stop_ids`."""


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
            A position reads the positions of its own sample up to itself, in the cache and here. Where no cache is
            given or kept, several samples may stand in one row (packing).
        rows: Rows of placed vectors ``(M,)``.
        positions: Their positions among the S ``(M,)``.
        vectors: Embeddings ``(M, H)`` that stand there in place of a token's.
        logits_at: Rows and positions ``(K, 2)`` at which scores are wanted; None for none.
        cache: What an earlier call returned. It is extended in place.
        keep_cache: Return a cache that a later call extends.

    >>> import torch
    >>> ids, places = torch.tensor([[5, 6, 7]]), torch.arange(3)[None]
    >>> LLMInputs(ids, places, torch.ones_like(ids), logits_at=torch.tensor([[0, 2]])).cache is None
    True
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

    >>> import torch
    >>> LLMOutput(torch.zeros(1, 3, 8)).logits is None
    True
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
