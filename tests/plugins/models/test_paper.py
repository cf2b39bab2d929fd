"""The paper's mixture on tiny data sets in their published layouts, with tiny checkpoints, from end to end."""

from __future__ import annotations

import csv
import json
import string
from pathlib import Path

import pytest
from scripts.make_tiny_codi2 import write

from anyloom.checking.preflight import look_over
from anyloom.cli.main import main
from anyloom.config.compose import compose
from anyloom_corpora.fixtures.layouts import write_layout

SIZES = str(Path(__file__).parents[3] / "scripts" / "tiny_sizes.yaml")
STEPS = 20


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Checkpoints, a vocabulary and every data set that the recipe names."""
    root = tmp_path_factory.mktemp("paper")
    write(root)
    vocabulary = root / "checkpoints" / "clip-vocabulary"
    vocabulary.mkdir()
    letters = [letter + end for end in ("", "</w>") for letter in string.ascii_lowercase]
    tokens = [*letters, "<|startoftext|>", "<|endoftext|>"]
    (vocabulary / "vocab.json").write_text(json.dumps({token: n for n, token in enumerate(tokens)}))
    (vocabulary / "merges.txt").write_text("#version: 0.2\n")
    for entry in compose(["paper"])["data"]["datasets"].values():
        name = Path(entry["root"]).name
        write_layout(name, root / "sets" / name)
    return root


def overrides(folder: Path) -> list[str]:
    """Places, and equal weights, so that few steps see every set."""
    places = {"checkpoints": folder / "checkpoints", "data": folder / "sets", "run": folder / "run"}
    sets = compose(["paper"])["data"]["datasets"]
    return [
        *(f"variables.{name}={place}" for name, place in places.items()),
        *(f"data.datasets.{name}.weight=1" for name in sets),
        "data.datasets.conversations.tasks={question: {weight: 1, most: 1}, next-image: 1}",
        f"model.encoders.imagebind.vocabulary={folder}/checkpoints/clip-vocabulary",
        f"trainer.max_steps={STEPS}",
        "trainer.limit_val_batches=0",
    ]


def test_every_set_has_a_place_a_licence_and_tasks() -> None:
    config = compose(["paper"])
    assert {entry["name"] for entry in config["data"]["datasets"].values()} == {
        "alpaca",
        "audioset",
        "instruct-pix2pix",
        "laion",
        "mimic-it",
        "open-images",
        "webvid",
    }
    assert all(entry["weight"] > 0 for entry in config["data"]["datasets"].values())
    assert all(source["licence"] for source in config["files"].values())


def test_nothing_is_wrong_with_the_recipe(folder: Path) -> None:
    assert [str(p) for p in look_over(["paper", SIZES], overrides(folder)).problems] == []


def test_the_mixture_trains_text_pictures_sounds_and_clips(folder: Path) -> None:
    assert main(["fit", "paper", SIZES, *overrides(folder)]) == 0
    (log,) = (folder / "run" / "log").rglob("metrics.csv")
    rows = list(csv.DictReader(log.read_text().splitlines()))
    seen = {name for row in rows for name, value in row.items() if value and float(value) > 0}
    for modality in ("image", "audio", "video", "text-feature"):
        assert f"train/feature/{modality}" in seen
    for modality in ("image", "audio", "video"):
        assert f"train/diffusion/{modality}" in seen
    assert "train/text" in seen
    assert max(int(row["step"]) for row in rows) == STEPS - 1
