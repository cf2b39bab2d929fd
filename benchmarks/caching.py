"""Training steps with features that are kept: in memory, and on disk."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Sequence
from pathlib import Path

from measure import Row, Rows, in_turns

import anyloom
from anyloom.config.packages import shipped_weights
from anyloom.conversation import Media
from anyloom.features.cache import FeatureCache
from anyloom.features.store import open_store
from anyloom.interfaces import Sample


def rows(quick: bool) -> Rows:
    """A step of the small model: features kept in memory and on disk, encoded anew, and come with the media."""
    model = anyloom.AnyToAnyModel.from_pretrained(shipped_weights("mini") or "", trust=True).train()
    samples = anyloom.build("dataset", "starter", {"form": "dialogue"}).build("train")
    chosen = [samples[i] for i in range(32)]
    cache, rounds = FeatureCache(), 3 if quick else 9

    def step(used: Sequence[Sample] = chosen) -> None:
        model.zero_grad()
        model(model.collator(decoding=False)(used)).total().backward()

    def cached() -> None:
        model.cache = cache
        step()

    def fresh() -> None:
        model.cache = None
        step()

    found = in_turns(cached, fresh, rounds)
    yield Row("training step with features cached", "encoded anew", found, 1.0, note="the small model, 32 samples")

    with tempfile.TemporaryDirectory() as folder:
        store = open_store(Path(folder), model.encoded_tables(), "32-true")
        with_features = [_with_features(model, sample) for sample in chosen]

        def stored() -> None:
            model.cache = store
            step()

        def llm_only() -> None:
            model.cache = None
            step(with_features)

        found = in_turns(llm_only, stored, rounds)
        yield Row(
            "second epoch with features on disk",
            "a step of the language model alone",
            found,
            1.05,
            better="lower",
            note="the small model, 32 samples whose media come with their features; one process reads and trains",
        )


def _with_features(model: anyloom.AnyToAnyModel, sample: Sample) -> Sample:
    """The sample with media that come with their features, so that nothing is read, prepared or encoded."""

    def featured(medium: Media) -> Media:
        encoder = model.encoder(medium.modality)
        features = encoder(encoder.preprocess(medium)[None], medium.modality)[0].detach()
        return dataclasses.replace(medium, features=features, space=encoder.feature_space(medium.modality).name)

    messages = [
        dataclasses.replace(m, segments=tuple(featured(s) if isinstance(s, Media) else s for s in m.segments))
        for m in sample.conversation.messages
    ]
    return dataclasses.replace(sample, conversation=dataclasses.replace(sample.conversation, messages=tuple(messages)))
