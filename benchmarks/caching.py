"""Training steps with features from the cache."""

from __future__ import annotations

from measure import Row, Rows, in_turns

import anyloom
from anyloom.config.packages import shipped_weights
from anyloom.features.cache import FeatureCache


def rows(quick: bool) -> Rows:
    """A step of the small model: features cached, encoded anew, and the language model alone."""
    model = anyloom.AnyToAnyModel.from_pretrained(shipped_weights("mini") or "", trust=True).train()
    samples = anyloom.build("dataset", "starter", {"form": "dialogue"}).build("train")
    chosen = [samples[i] for i in range(32)]
    cache = FeatureCache()

    def step() -> None:
        model.zero_grad()
        model(model.collator(decoding=False)(chosen)).total().backward()

    def cached() -> None:
        model.cache = cache
        step()

    def fresh() -> None:
        model.cache = None
        step()

    found = in_turns(cached, fresh, 3 if quick else 9)
    yield Row("training step with features cached", "encoded anew", found, 1.0, note="the small model, 32 samples")
