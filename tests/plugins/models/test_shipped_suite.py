"""The suite that ships runs whole on the model that ships."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from anyloom.cli.main import main
from anyloom.evaluation.suite import read_suite


@pytest.mark.slow
def test_every_metric_measures(tmp_path: Path) -> None:
    assert main(["evaluate", "--suite", "in-context", "--queries", "1", "--output", str(tmp_path / "found")]) == 0
    results = json.loads((tmp_path / "found" / "results.json").read_text(encoding="utf-8"))
    text = json.dumps(results)
    unmeasured = [n for n in read_suite("in-context").metrics if f'"{n}/' not in text and f'"{n}"' not in text]
    assert unmeasured == ["watched"], "the model reads no clips"
    assert results["not asked"] == {"the model does not read video": 1000}
    assert (tmp_path / "found" / "report.html").is_file()
