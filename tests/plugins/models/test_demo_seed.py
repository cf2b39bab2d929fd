"""``anyloom demo --seed`` is the seed of the answers that are measured, too."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from anyloom_mini.demo import evaluation


def test_measured_answers_are_drawn_from_the_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[int] = []

    def measure(model: Any, samples: Any, metrics: Any, *, seed: int, **_: Any) -> dict[str, float]:
        given.append(seed)
        return {}

    monkeypatch.setattr(evaluation, "measure", measure)
    plan: Any = SimpleNamespace(settings=SimpleNamespace(measured=2, batch_size=2))
    model: Any = None
    evaluation._measured(plan, model, evaluation._Questions([], {}), 7, lambda share: None)
    assert given == [7]
