"""Two processes whose batches hold different modalities: nobody waits for ever, and they learn what one would."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from two_ranks import PLACEMENTS, every_pair, everything, run

pytestmark = pytest.mark.ddp


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the processes save the model."""
    return tmp_path_factory.mktemp("saved")


@pytest.fixture(scope="module")
def found(tokenizer_folder: Path, saved: Path) -> dict[int, Any]:
    """What each of two processes reports."""
    return run(everything, tokenizer_folder, saved)


@pytest.mark.parametrize("how", ["ddp", "fsdp2"])
def test_gradients_of_two_processes_are_those_of_one(found: dict[int, Any], how: str) -> None:
    """Every eleventh of 256 pairs: all subsets come on both sides."""
    assert set(found) == {0, 1}
    assert max(report[how] for report in found.values()) <= 1e-6


@pytest.mark.slow
def test_gradients_of_two_processes_are_those_of_one_for_every_pair(tokenizer_folder: Path) -> None:
    for report in run(every_pair, tokenizer_folder).values():
        assert report["ddp"] <= 1e-6
        assert report["fsdp2"] <= 1e-6


def files(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_shards_in_six_placements_hold_less_answer_alone_and_save_the_folder_of_one_process(
    found: dict[int, Any], saved: Path
) -> None:
    one = files(saved / "one")
    assert len(one) > 2
    for report in (found[0]["placements"], found[1]["placements"]):
        assert set(report) == set(PLACEMENTS)
        for placement, seen in report.items():
            assert seen["same"], placement
            assert seen["loss"] < 1e-5, placement
            assert seen["share"] < 1, placement
            assert files(saved / placement) == one, placement
        assert report["whole"]["share"] <= 0.55
        assert report["components"]["share"] <= 0.55
