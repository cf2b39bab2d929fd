"""The weights that ship answer a fixed slice of the suite as well as when they were recorded."""

from __future__ import annotations

import json
import re
from hashlib import sha256
from pathlib import Path

import pytest
from scripts.record_shipped_slice import COUNTED, RECORD, right_answers

from anyloom.cli.model_argument import shipped_weights
from anyloom.config.saved import read_record
from anyloom.model.required import check_required

FOLDER = shipped_weights("mini")
LARGEST = 60 * 2**20
SLACK = 1  # of 25 queries: another processor rounds otherwise

pytestmark = pytest.mark.skipif(FOLDER is None, reason="no weights ship with the recipe mini yet")


@pytest.fixture(scope="module")
def folder() -> Path:
    assert FOLDER is not None
    return FOLDER


def test_weights_are_small_and_described(folder: Path) -> None:
    assert sum(f.stat().st_size for f in folder.rglob("*") if f.is_file()) <= LARGEST
    assert (folder / "MODEL_CARD.md").is_file()
    assert "model.safetensors" in json.loads((folder / "config.json").read_text(encoding="utf-8"))["files"]


@pytest.mark.parametrize("name", ["mini", "mini-plain"])
def test_a_hash_in_the_card_is_that_of_the_file(name: str) -> None:
    place = shipped_weights(name)
    assert place is not None
    card = (place / "MODEL_CARD.md").read_text(encoding="utf-8")
    own = {sha256(file.read_bytes()).hexdigest() for file in place.glob("*.safetensors")}
    assert set(re.findall(r"[0-9a-f]{64}", card)) <= own


@pytest.mark.parametrize("recipe", ["mini", "mini-plain"])
def test_they_say_which_package_their_parts_come_from(recipe: str) -> None:
    """Whoever has another installation of plugins is told the package that has what is missing."""
    place = shipped_weights(recipe)
    assert place is not None
    record = read_record(place)
    check_required(record, str(place))
    config = record["model"]
    named = {f"modality {name}" for name in config["modalities"]} | {f"llm {config['llm']['name']}"}
    named |= {f"{kind} {part['name']}" for kind in ("encoder", "decoder") for part in config[f"{kind}s"].values()}
    (one,) = record["requires"]
    assert one["package"] == "anyloom"
    assert named <= set(one["components"])


@pytest.mark.slow
def test_as_many_answers_are_right_as_recorded(folder: Path) -> None:
    record = json.loads(RECORD.read_text(encoding="utf-8"))
    weights = json.loads((folder / "config.json").read_text(encoding="utf-8"))["files"]["model.safetensors"]
    assert record["weights"] == weights, "the weights are others: run scripts/record_shipped_slice.py"
    assert set(record["right"]) == set(COUNTED)
    found = right_answers(folder)
    worse = {k: (found[k], n) for k, n in record["right"].items() if found[k] < n - SLACK}
    assert not worse, f"right answers now and when recorded: {worse}"
