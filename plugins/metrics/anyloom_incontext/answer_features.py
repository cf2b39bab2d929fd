"""The feature that stands for an answer: predicted, seen in the decoded answer, or seen in a decoded target."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from anyloom.conversation import Media
from anyloom.interfaces import Condition, Decoder, Evaluated
from anyloom_incontext.features import FeatureTable
from anyloom_incontext.provenance import Edit, query_of

__all__ = ["answer_features"]

_Known = Sequence[tuple[Evaluated, Edit]]


def answer_features(kind: str, table: FeatureTable, known: _Known, decoder: Decoder | None) -> list[Tensor | None]:
    """Return a feature ``(L*D,)`` for each answer; None where there is none.

    Args:
        kind: ``predicted``, ``decoded`` or ``reconstructed``.
        table: Has the targets' features and encodes media.
        known: Answered samples and what they ask for.
        decoder: What decodes the targets' own features; needed for ``reconstructed`` alone.
    """
    answered = [[m for m in one.answer.media if m.modality == table.modality] for one, _ in known]
    if kind == "predicted":
        features = [next((m.features for m in media if m.features is not None), None) for media in answered]
        return [None if f is None else f.float().cpu().flatten() for f in features]
    if kind == "decoded":
        made = [next((m for m in media if m.has_data), None) for media in answered]
    else:
        made = [None] * len(known) if decoder is None else [*_reconstructed(decoder, table, known)]
    present = [m for m in made if m is not None]
    seen = iter(table.encode(present) if present else ())
    return [None if m is None else next(seen) for m in made]


def _reconstructed(decoder: Decoder, table: FeatureTable, known: _Known) -> Sequence[Media]:
    """What the decoder makes of the targets' own features."""
    space = table.encoder.feature_space(table.modality)
    features = table.get([edit.target for _, edit in known]).reshape(-1, space.tokens, space.dim)
    seeds = [query_of(one.sample) % 2**31 for one, _ in known]
    return decoder.generate(Condition(features.to(table.device)), seeds=seeds)
