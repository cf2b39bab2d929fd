"""Language models that each get one thing wrong."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import torch

from anyloom import Message
from anyloom.interfaces import KVCache, LLMInputs, LLMOutput, Piece
from anyloom_llama.cache import LayerCache
from anyloom_llama.llm import CausalLM
from anyloom_llama.tokenizer import ChatTokenizer

__all__ = ["BROKEN"]


class ExtraScore(CausalLM):
    """Gives one score too many once tokens are added."""

    def forward(self, x: LLMInputs) -> LLMOutput:
        """One pass."""
        output = super().forward(x)
        if output.logits is not None and len(self.new_output_rows):
            output.logits = torch.cat([output.logits, output.logits[:, :1]], -1)
        return output


class MixesUpPlaces(CausalLM):
    """Gives scores in the order of rows instead of that asked for."""

    def forward(self, x: LLMInputs) -> LLMOutput:
        """One pass."""
        at = x.logits_at
        return super().forward(x if at is None else dataclasses.replace(x, logits_at=at[at[:, 0].argsort()]))


class SeesTheFuture(CausalLM):
    """Adds the mean of a sample's positions to each of them."""

    def forward(self, x: LLMInputs) -> LLMOutput:
        """One pass."""
        output = super().forward(x)
        segments = x.segments[:, -x.ids.shape[1] :]
        same = ((segments[:, :, None] == segments[:, None]) & (segments[:, None] > 0)).float()
        output.hidden = output.hidden + same @ output.hidden / same.sum(-1, keepdim=True).clamp_min(1)
        return output


class IgnoresTheMask(CausalLM):
    """Reads padding on the left as text."""

    def forward(self, x: LLMInputs) -> LLMOutput:
        """One pass."""
        return super().forward(dataclasses.replace(x, segments=x.segments.cummax(1).values.clamp_min(1)))


class LeaksBetweenSamples(CausalLM):
    """Takes a packed row for one sample."""

    def forward(self, x: LLMInputs) -> LLMOutput:
        """One pass."""
        return super().forward(dataclasses.replace(x, segments=x.segments.clamp_max(1), keep_cache=True))


class ScalesVectors(CausalLM):
    """Puts vectors at the places of their neighbours."""

    def forward(self, x: LLMInputs) -> LLMOutput:
        """One pass."""
        if x.vectors is not None and len(x.vectors) < x.ids.numel():
            x = dataclasses.replace(x, vectors=x.vectors.mean(0, keepdim=True).expand_as(x.vectors))
        return super().forward(x)


class DropsTheCache(CausalLM):
    """Never returns a cache."""

    def forward(self, x: LLMInputs) -> LLMOutput:
        """One pass."""
        output = super().forward(x)
        return LLMOutput(output.hidden, output.logits)


class _Stubborn(LayerCache):
    def crop(self, length: int) -> None:
        super().crop(max(length, self.length - 1))


class CropsTooLittle(CausalLM):
    """Keeps positions that are to be forgotten."""

    def forward(self, x: LLMInputs) -> LLMOutput:
        """One pass."""
        output = super().forward(x)
        if output.cache is not None:
            output.cache = _Stubborn(output.cache.layers)  # type: ignore[attr-defined]
        return output


class JoinsBackwards(CausalLM):
    """Joins caches in the wrong order."""

    def join(self, caches: Sequence[KVCache]) -> KVCache:  # type: ignore[override]
        """One cache."""
        return super().join(caches[::-1])  # type: ignore[arg-type]


class MixesTheBatch(CausalLM):
    """Centres over the batch."""

    def forward(self, x: LLMInputs) -> LLMOutput:
        """One pass."""
        output = super().forward(x)
        output.hidden = output.hidden - 0.3 * output.hidden.mean(0)
        return output


class MovesOldRows(CausalLM):
    """Disturbs the old table when tokens are added."""

    def add_tokens(self, tokens: Sequence[str]) -> list[int]:
        """Add rows."""
        with torch.no_grad():
            self.lm.get_input_embeddings().weight.add_(torch.randn_like(self.lm.get_input_embeddings().weight))
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
    def _spelled(self, text: str, start: int, end: int) -> set[int]:
        return set()


class _NeverEnds(ChatTokenizer):
    def render(self, messages: Sequence[Message], *, open_answer: bool = False) -> list[Piece]:
        pieces = super().render(messages, open_answer=open_answer)
        return [dataclasses.replace(p, ids=[i for i in p.ids if i != self.eos_id]) for p in pieces]


class _BeginsTooEarly(ChatTokenizer):
    def render(self, messages: Sequence[Message], *, open_answer: bool = False) -> list[Piece]:
        pieces = super().render(messages, open_answer=open_answer)
        return pieces[:-1] if open_answer else pieces


class _MediaFirst(ChatTokenizer):
    def render(self, messages: Sequence[Message], *, open_answer: bool = False) -> list[Piece]:
        pieces = super().render(messages, open_answer=open_answer)
        return sorted(pieces, key=lambda p: (p.message, p.media is None))


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


class BeginsTooEarly(Shouts):
    """Asks for an answer without saying whose turn it is."""

    tokenizer_class = _BeginsTooEarly


class MediaFirst(Shouts):
    """Moves media to the beginning of their message."""

    tokenizer_class = _MediaFirst


class Stuck(Shouts):
    """Cannot be sent to data workers."""

    tokenizer_class = _Stuck


BROKEN: dict[type[CausalLM], set[str]] = {
    ExtraScore: {"hidden_states_and_scores_have_their_shapes"},
    MixesUpPlaces: {"scores_are_those_of_their_positions"},
    SeesTheFuture: {
        "is_causal",
        "vectors_stand_where_they_are_placed",
        "added_tokens_leave_the_old_ones_alone",
        *("cache_equals_one_pass", "caches_are_cut", "caches_are_joined"),
    },
    IgnoresTheMask: {"masked_positions_are_not_read", "caches_are_joined"},
    LeaksBetweenSamples: {"packed_samples_are_kept_apart"},
    ScalesVectors: {"vectors_stand_where_they_are_placed"},
    DropsTheCache: {"cache_equals_one_pass", "caches_are_cut", "caches_are_joined"},
    CropsTooLittle: {"caches_are_cut"},
    JoinsBackwards: {"caches_are_joined"},
    MixesTheBatch: {
        "batch_equals_singles",
        "vectors_stand_where_they_are_placed",
        *("caches_are_cut", "caches_are_joined"),
    },
    MovesOldRows: {"added_tokens_leave_the_old_ones_alone"},
    NeverFreezes: {"frozen_llm_trains_the_added_rows_alone"},
    AlwaysFreezes: {"learns_when_not_frozen"},
    Shouts: {"text_survives_the_tokenizer", "answers_are_learned_up_to_their_end", "media_have_their_places"},
    Forges: {"text_survives_the_tokenizer"},
    NeverEnds: {"answers_are_learned_up_to_their_end"},
    BeginsTooEarly: {"prompts_begin_the_whole"},
    MediaFirst: {"media_have_their_places"},
    Stuck: {"tokenizer_pickles"},
}
