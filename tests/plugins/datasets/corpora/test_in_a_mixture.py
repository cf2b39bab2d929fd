"""Readers and tasks in a run's loader: workers give the same samples, and the ledger says why records were skipped."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import soundfile

from anyloom.building import build
from anyloom.data.ledger import Ledger
from anyloom.data.loader import ResumableLoader
from anyloom_corpora.fixtures.layouts import write_layout

COUNT = 6


class Collate:
    """Loads all media, as a model's collator does, and says which samples they were of."""

    def __call__(self, samples):
        return [(s.key, s.task, [tuple(m.tensor().shape) for m in s.conversation.media]) for s in samples]


@pytest.fixture
def damaged(tmp_path: Path) -> Path:
    """Sounds of which one is missing, one cut, one silent and one NaN."""
    root = write_layout("audiocaps", tmp_path / "set")
    files = [root / f"audio/{'Y' if n % 2 else ''}yt{n:03d}-_x.wav" for n in range(COUNT)]
    files[0].unlink()
    files[1].write_bytes(files[1].read_bytes()[:2000])
    soundfile.write(files[2], np.zeros(8000), 16_000)
    soundfile.write(files[3], np.full(8000, np.nan), 16_000, subtype="FLOAT")
    return root


@pytest.mark.parametrize("workers", [0, 2])
def test_the_ledger_counts_bad_sounds_by_reason(damaged, workers):
    builder = build("dataset", "audiocaps", {"root": str(damaged)})
    ledger = Ledger(max_bad=1.0)
    loader = ResumableLoader(
        partial(builder.build, "train"), Collate(), 1, shuffle=False, workers=workers, ledger=ledger
    )
    used = [key for batch in loader for key, _, _ in batch]
    loader.close()
    assert used == ["4", "5"]
    whole = ledger.total()
    assert whole["skipped"] == {"NaN": 1, "missing": 1, "silent": 1, "truncated": 1}
    assert (whole["read"], whole["used"], whole["cut"]) == (COUNT, 2, 0)


@pytest.mark.parametrize(
    ("layout", "name", "options"),
    [
        ("instruct-pix2pix", "instruct-pix2pix", {"shares": [1, 0, 0]}),
        ("laion", "laion", {}),
        ("mimic-it-parquet", "mimic-it", {"subset": "DC"}),
        ("alpaca", "alpaca", {}),
        ("open-images", "open-images", {}),
    ],
)
def test_workers_and_a_second_start_give_the_same_samples(tmp_path, layout, name, options):
    root = write_layout(layout, tmp_path / "set")

    def loader(workers):
        builder = build("dataset", name, {"root": str(root), **options})
        return ResumableLoader(
            partial(builder.build, "train"), Collate(), 2, seed=3, workers=workers, ledger=Ledger(max_bad=1.0)
        )

    whole = loader(0)
    passes = [batch for _ in range(3) for batch in whole]
    first = loader(2)
    begun = [batch for _, batch in zip(range(len(first) - 1), first)]
    state = first.state_dict()
    first.close()
    second = loader(0)
    second.load_state_dict(state)
    rest = [batch for _ in range(3) for batch in second]
    assert begun + rest[: len(passes) - len(begun)] == passes


def test_moving_a_set_moves_nothing_else(tmp_path):
    """The samples of a record depend on its set, its number and the seed, not on where the folder lies."""
    root = write_layout("instruct-pix2pix", tmp_path / "a")
    shutil.copytree(root, tmp_path / "b")
    made = []
    for place in ("a", "b"):
        samples = build("dataset", "instruct-pix2pix", {"root": str(tmp_path / place)}).build("train")
        made.append([[m.text for m in samples.draw(n, 5).conversation.messages] for n in range(len(samples))])
    assert made[0] == made[1]
