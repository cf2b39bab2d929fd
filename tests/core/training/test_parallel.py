"""Two processes whose batches hold different modalities: nobody waits for ever, and they learn what one would."""

from __future__ import annotations

from pathlib import Path

import pytest

from two_ranks import compare, run, shards_and_answers

pytestmark = pytest.mark.ddp


@pytest.mark.parametrize("how", ["ddp", "fsdp2"])
def test_gradients_of_two_processes_are_those_of_one(tokenizer_folder: Path, how: str) -> None:
    worst = run(compare, tokenizer_folder, how, 11)  # every eleventh of 256 pairs: all subsets come on both sides
    assert set(worst) == {0, 1}
    assert max(worst.values()) <= 1e-6


@pytest.mark.slow
@pytest.mark.parametrize("how", ["ddp", "fsdp2"])
def test_gradients_of_two_processes_are_those_of_one_for_every_pair(tokenizer_folder: Path, how: str) -> None:
    assert max(run(compare, tokenizer_folder, how, 1).values()) <= 1e-6


def test_sharded_processes_hold_half_answer_alone_and_save_the_whole(tokenizer_folder: Path) -> None:
    found = run(shards_and_answers, tokenizer_folder)
    for report in found.values():
        assert report["share"] <= 0.55
        assert report["training"] <= 0.55
        assert report["same"]
        assert report["equal"]
