"""One training step of the mini model with features from the cache (A) and encoded anew (B)."""

from __future__ import annotations

from pairs import compare

import anyloom
from anyloom.config.compose import compose
from anyloom.features.cache import FeatureCache


def main() -> None:
    """Compare."""
    sections = compose(["mini"], [f"model.{p}.weights=null" for p in PARTS])
    model = anyloom.AnyToAnyModel.from_config(sections).train()
    samples = anyloom.build("dataset", "starter", {"form": "dialogue"}).build("train")
    chosen = [samples[i] for i in range(32)]

    def step() -> None:
        model.zero_grad()
        model(model.collator(diffusion=False)(chosen)).total.backward()

    def cached() -> None:
        model.cache = cache
        step()

    def fresh() -> None:
        model.cache = None
        step()

    cache = FeatureCache()
    compare("training step, cached / encoded anew", cached, fresh)


PARTS = ("encoders.eye", "encoders.ear", "decoders.brush", "decoders.voice")

if __name__ == "__main__":
    main()
