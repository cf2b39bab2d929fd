"""Training steps with features and latents that are kept: in memory, and on disk."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch
from measure import Row, Rows, in_turns
from torch import Tensor

import anyloom
from anyloom.config.packages import shipped_weights
from anyloom.conversation import Media
from anyloom.features.cache import FeatureCache
from anyloom.features.store import StoredFeatures, open_store
from anyloom.interfaces import Sample
from anyloom.sequence.batch import Batch


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
        store = open_store(Path(folder), {**model.encoded_tables(), **model.latent_tables()}, "32-true")
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
        yield from _latents(model, store, chosen, with_features, rounds)


def _latents(
    model: anyloom.AnyToAnyModel,
    store: StoredFeatures,
    chosen: list[Sample],
    with_features: list[Sample],
    rounds: int,
) -> Rows:
    """The same with L_DM, whose autoencoders run once for each medium."""

    def loss(batch: Batch) -> Tensor:
        torch.manual_seed(0)  # the same diffusion times and noise, however the latents came
        model.zero_grad()
        total = model(batch).total()
        total.backward()
        return total.detach()

    def stored() -> Tensor:
        model.cache, model.keeps_latents = store, True
        return loss(model.collator()(chosen))

    def fresh() -> Tensor:
        model.cache, model.keeps_latents = None, False
        return loss(model.collator()(chosen))

    stored()
    torch.testing.assert_close(stored(), fresh(), atol=1e-5, rtol=1e-5)
    found = in_turns(stored, fresh, rounds)
    note = "the small model, 32 samples, equal losses; its autoencoders take a small share of a step"
    yield Row("training step with L_DM, features and latents on disk", "encoded anew", found, 1.0, note=note)
    stored()
    targets = {name: media.decoder for name, media in model.collator()(chosen).media.items()}

    def at_hand() -> Tensor:
        model.cache = store
        batch = model.collator(decoding=False)(with_features)
        for name, decoder in targets.items():
            batch.media[name].decoder = decoder
        return loss(batch)

    torch.testing.assert_close(stored(), at_hand(), atol=1e-5, rtol=1e-5)
    yield Row(
        "second epoch with L_DM, features and latents on disk",
        "a step of the language model and the denoisers alone",
        in_turns(at_hand, stored, rounds),
        1.05,
        better="lower",
        note="the small model, 32 samples; one process reads and trains",
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
