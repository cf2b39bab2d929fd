"""Queries about pictures that are not of the pack: what is asked, what an answer is told apart from."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "scripts"))
from measure_known import OUTSIDE, outside_queries
from measure_mini import EDITS

from anyloom_starter.pack import load_pack


@pytest.mark.parametrize("examples", [0, 1, 4])
def test_queries_of_outside_pictures_can_be_told_apart(examples: int) -> None:
    queries = list(outside_queries(0, examples))
    files = sorted(f.stem for f in OUTSIDE.glob("*.png"))
    assert len(files) == 40
    trained = {p.key for p in load_pack().pictures if p.split == "train"}
    for sample, candidates in queries:
        target, *others = [m.tensor() for m in candidates]
        assert torch.equal(target, sample.conversation.messages[-1].media[0].tensor())
        assert torch.equal(others[0], sample.conversation.messages[-2].media[0].tensor())  # the input
        assert not any(torch.equal(target, other) for other in others)
        shown = [m.key.split("@")[0] for message in sample.conversation.messages[:-2] for m in message.media]
        assert len(shown) == 2 * examples
        assert set(shown) <= trained
    asked = {(s.provenance["source"].split("/")[0], s.provenance["operation"]) for s, _ in queries}
    assert {name for name, _ in asked} == set(files)
    # A mirrored symmetric picture and a grey one made grey are not asked for: nothing would be to be done.
    assert 0.95 * len(files) * len(EDITS) < len(asked) <= len(files) * len(EDITS)
