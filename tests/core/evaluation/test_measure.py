from __future__ import annotations

from typing import Any

import pytest

from anyloom.conversation import Conversation, Message
from anyloom.interfaces import Sample
from anyloom.training import measure as module


class Metric:
    update_called = True
    needs_media = False

    def __init__(self) -> None:
        self.prepared: list[Any] = []
        self.reset()

    def reset(self) -> None:
        self.seen: list[str] = []

    def prepare(self, model: Any) -> None:
        self.prepared.append(model)

    def wants(self, sample: Sample) -> bool:
        return sample.task != "unwanted"

    def update(self, samples: list[Sample]) -> None:
        self.seen += [s.task for s in samples]

    def compute(self) -> dict[str, float]:
        return {"seen": len(self.seen)}


def test_batches_are_answered_in_order_with_their_own_seeds_and_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[list[str], int]] = []

    def update(model: Any, samples: Any, metrics: Any, *, seed: int) -> None:
        asked.append(([s.task for s in samples], seed))
        metrics["m"].update(samples)

    monkeypatch.setattr(module, "update", update)
    samples = [Sample(Conversation([Message("user", ["x"])]), task=t) for t in ("a", "unwanted", "b", "c")]
    metric, shares = Metric(), []
    model: Any = "model"
    for _ in range(2):
        metrics: Any = {"m": metric}
        found = module.measure(model, samples, metrics, seed=5, batch_size=2, advance=shares.append)
        assert found == {"m/seen": 3.0}
    assert asked == [(["a", "b"], 5), (["c"], 7)] * 2
    assert shares == [0.0, 2 / 3, 1.0] * 2
    assert metric.prepared == [model, model]
