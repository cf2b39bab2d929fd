"""Groups of samples and what their standard errors and flags say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.plugins.metrics.scored import metric, pair, values

from anyloom_metrics.tiny_metrics import edits, picture, sound


def test_k_and_family_are_groups() -> None:
    found = values(metric("psnr"), edits(picture))
    assert {n for n in found if n.endswith("psnr")} == {
        f"edit{g}/psnr"
        for g in (
            "",
            "/k0",
            "/k1",
            "/k2",
            "/shape",
            "/tone",
            "/shape/k0",
            "/shape/k1",
            "/shape/k2",
            "/tone/k0",
            "/tone/k1",
        )
    }


def test_samples_of_one_subject_are_alike_in_the_standard_error() -> None:
    once = [pair(sound(n), sound(n + 50), number=n, subject=f"s{n}") for n in range(4)]
    thrice = [pair(sound(n), sound(n + 50), number=(n, i), subject=f"s{n}") for n in range(4) for i in range(3)]
    first, second = metric("log-spectral-distance"), metric("log-spectral-distance")
    first.update(once)
    second.update(thrice)
    assert second.standard_errors() == pytest.approx(first.standard_errors()), "copies add nothing"
    alone = metric("log-spectral-distance")
    alone.update([replace(e, sample=replace(e.sample, provenance={"subject": "s"})) for e in once])
    assert alone.standard_errors() == {}


def test_a_value_that_some_samples_lack_is_left_out_and_flagged(tmp_path: Path) -> None:
    from anyloom_metrics.tiny_extractors import write_clip

    extractor = {"name": "clip-joint", "weights": str(write_clip(tmp_path))}
    measure = metric("clip-score", extractor=extractor)
    found = values(measure, [*edits(picture)[:3], *edits(picture, references=("a cat",))[3:]])
    assert "edit/ref_score" not in found
    assert measure.flags()["edit/ref_score"] == ["left out: 3 of 5 scored samples do not have it"]
