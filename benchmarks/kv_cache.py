"""Generating 48 tokens with the key/value cache (A) and by reading the whole sequence for each token (B)."""

from __future__ import annotations

import torch
from feature_cache import PARTS
from pairs import compare

import anyloom
from anyloom.config.compose import compose

TOKENS = 48


@torch.no_grad()
def main() -> None:
    """Compare."""
    sections = compose(["mini"], [f"model.{p}.weights=null" for p in PARTS])
    model = anyloom.AnyToAnyModel.from_config(sections).eval()
    prompt = anyloom.Conversation([anyloom.Message("user", "Draw this: waving hand, noto style. " * 6)])
    forbidden = dict.fromkeys(model.tags, "forbid")
    ids = model.interleaver()(prompt, open_answer=True).ids[None]

    def cached() -> None:
        model.generate([prompt] * 8, media=forbidden, max_new_tokens=TOKENS, temperature=1.0)

    def whole() -> None:
        for more in range(TOKENS):
            longer = torch.cat([ids, ids.new_zeros(1, more)], 1).expand(8, -1)
            mask = torch.ones_like(longer)
            positions = torch.arange(longer.shape[1])[None].expand_as(longer)
            model.llm.logits(model.llm(model.llm.embed(longer), mask, positions).hidden[:, -1])

    compare(f"{TOKENS} tokens, cached / whole sequence each time", cached, whole)


if __name__ == "__main__":
    main()
