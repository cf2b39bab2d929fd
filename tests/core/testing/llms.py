"""Language models that each get one thing wrong."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from anyloom.interfaces import LLMOutput
from anyloom_llama.llm import CausalLM
from anyloom_llama.tokenizer import ChatTokenizer

__all__ = ["BROKEN"]


class ExtraScore(CausalLM):
    """Gives one score too many once tokens are added."""

    def logits(self, hidden: Tensor) -> Tensor:
        """Scores ``(..., V + 1)``."""
        scores = super().logits(hidden)
        return torch.cat([scores, scores[..., :1]], -1) if len(self.new_output_rows) else scores


class SeesTheFuture(CausalLM):
    """Adds the mean of all positions."""

    def forward(self, embeddings: Tensor, attention_mask: Tensor, *rest: Any, **more: Any) -> LLMOutput:
        """One pass."""
        mask = attention_mask[:, -embeddings.shape[1] :, None]
        mean = (embeddings * mask).sum(1, keepdim=True) / 6
        output = super().forward(embeddings, attention_mask, *rest, **more)
        return LLMOutput(output.hidden + mean, output.cache)


class IgnoresTheMask(CausalLM):
    """Reads padding."""

    def forward(self, embeddings: Tensor, attention_mask: Tensor, *rest: Any, **more: Any) -> LLMOutput:
        """One pass."""
        return super().forward(embeddings, torch.ones_like(attention_mask), *rest, **more)


class DropsTheCache(CausalLM):
    """Never returns a cache."""

    def forward(self, *args: Any, **more: Any) -> LLMOutput:
        """One pass."""
        return LLMOutput(super().forward(*args, **more).hidden)


class MixesTheBatch(CausalLM):
    """Centres over the batch."""

    def forward(self, *args: Any, **more: Any) -> LLMOutput:
        """One pass."""
        output = super().forward(*args, **more)
        return LLMOutput(output.hidden - 0.3 * output.hidden.mean(0), output.cache)


class MovesOldRows(CausalLM):
    """Disturbs the old table when tokens are added."""

    def add_tokens(self, tokens: Sequence[str]) -> list[int]:
        """Add rows."""
        with torch.no_grad():
            self.lm.get_input_embeddings().weight.add_(0.01)
        return super().add_tokens(tokens)


class NeverFreezes(CausalLM):
    """Takes no notice of ``freeze``."""

    def _set_trainable(self) -> None:
        self.lm.requires_grad_(True)


class AlwaysFreezes(CausalLM):
    """Is frozen whatever the option says."""

    def _set_trainable(self) -> None:
        self.lm.requires_grad_(False)


class _Shouts(ChatTokenizer):
    def decode(self, ids: Sequence[int]) -> str:
        return super().decode(ids).upper()


class _Forges(ChatTokenizer):
    def encode(self, text: str) -> list[int]:
        return list(self.backend(text, add_special_tokens=False)["input_ids"])


class _NeverEnds(ChatTokenizer):
    def chat_parts(self, roles: Sequence[str]) -> list[tuple[list[int], list[int]]]:
        return [(before, []) for before, _ in super().chat_parts(roles)]


class _Stuck(ChatTokenizer):
    def __init__(self, backend: Any, chat_template: str | None = None) -> None:
        super().__init__(backend, chat_template)
        self.callback = lambda: None


class Shouts(CausalLM):
    """Changes text."""

    tokenizer_class: type[ChatTokenizer] = _Shouts

    @property
    def tokenizer(self) -> ChatTokenizer:
        """The tokenizer."""
        return self.tokenizer_class(super().tokenizer.backend)


class Forges(Shouts):
    """Lets users type special tokens."""

    tokenizer_class = _Forges


class NeverEnds(Shouts):
    """Teaches no end of an answer."""

    tokenizer_class = _NeverEnds


class Stuck(Shouts):
    """Cannot be sent to data workers."""

    tokenizer_class = _Stuck


BROKEN: dict[type[CausalLM], set[str]] = {
    ExtraScore: {"hidden_states_and_scores_have_their_shapes"},
    SeesTheFuture: {"is_causal", "cache_equals_one_pass"},
    IgnoresTheMask: {"masked_positions_are_not_read"},
    DropsTheCache: {"cache_equals_one_pass"},
    MixesTheBatch: {"batch_equals_singles"},
    MovesOldRows: {"added_tokens_leave_the_old_ones_alone"},
    NeverFreezes: {"frozen_llm_trains_the_added_rows_alone"},
    AlwaysFreezes: {"learns_when_not_frozen"},
    Shouts: {"text_survives_the_tokenizer"},
    Forges: {"text_survives_the_tokenizer"},
    NeverEnds: {"chat_markup_ends_answers"},
    Stuck: {"tokenizer_pickles"},
}
