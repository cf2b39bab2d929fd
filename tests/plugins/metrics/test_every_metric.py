"""What holds for every metric: what its values say of themselves, order, weights that are not there, the guide."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from tests.plugins.metrics.scored import metric, pair

from anyloom.discovery import get_registry
from anyloom.errors import CheckpointError, ConfigError
from anyloom.testing import tiny_case
from anyloom_metrics.tiny_metrics import picture

OURS = [s for s in get_registry().components("metric") if s.plugin == "anyloom_metrics"]


@pytest.mark.parametrize("spec", OURS, ids=lambda s: s.name)
def test_every_value_says_what_it_is_and_has_n_and_an_error(spec: Any, tmp_path: Path) -> None:
    case = tiny_case(spec, tmp_path)
    measure = case.build()
    measure.update(list(case.evaluated))
    found, errors, contract = measure.compute(), measure.standard_errors(), measure.contract()
    assert contract.inputs
    named = {name for name in found if name.rpartition("/")[2] in measure.measures}
    assert {name.rpartition("/")[2] for name in named} == set(measure.measures)
    for name in named:
        group = name.rpartition("/")[0]
        assert f"{group}/count" in found
        if float(found[f"{group}/count"]) > 3 and not name.endswith("_rank"):
            assert errors[name] >= 0, name
    assert all(math.isfinite(error) for error in errors.values())


@pytest.mark.parametrize("spec", OURS, ids=lambda s: s.name)
def test_order_does_not_count(spec: Any, tmp_path: Path) -> None:
    case = tiny_case(spec, tmp_path)
    measure, turned = case.build(), case.build()
    measure.update(list(case.evaluated))
    for one in reversed(case.evaluated):
        turned.update([one])
    for name, value in measure.compute().items():
        assert float(turned.compute()[name]) == pytest.approx(float(value), rel=1e-4, abs=1e-5), name
    for name, error in measure.standard_errors().items():
        assert turned.standard_errors()[name] == pytest.approx(error, rel=1e-3, abs=1e-5), name
    assert measure.flags() == turned.flags()


def test_the_guide_lists_all_metrics_and_extractors() -> None:
    page = (Path(__file__).parents[3] / "docs" / "guide" / "metrics.md").read_text(encoding="utf-8")
    named = {s.name for s in get_registry().components() if s.plugin == "anyloom_metrics"}
    assert {name for name in named if f"`{name}`" not in page} == set()


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("frechet-distance", {"modality": "image"}),
        ("image-alignment", {}),
        ("text-media-retrieval", {}),
    ],
)
def test_missing_weights_are_found_before_anything_is_generated(name: str, options: dict[str, Any]) -> None:
    tiny = {"name": "dino", "hidden_size": 12, "layers": 1, "heads": 2, "weights": "nowhere.safetensors"}
    with pytest.raises(CheckpointError, match="no weights"):
        metric(name, extractor=tiny, **options).prepare(None)
    with pytest.raises(CheckpointError, match="no weights"):
        metric("lpips", weights="nowhere.safetensors").prepare(None)


def test_long_names_of_groups_are_refused() -> None:
    with pytest.raises(ConfigError, match="shorter names"):
        metric("psnr").update([pair(picture(1), picture(2), family="x" * 500)])
