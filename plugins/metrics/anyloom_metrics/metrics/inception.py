"""Inception score of answers."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import PositiveInt
from torch import Tensor

from anyloom.interfaces import ValueInfo
from anyloom_metrics.functional.inception import inception_score
from anyloom_metrics.metrics.contract import Contract
from anyloom_metrics.metrics.sets import FeatureSets, SetConfig

__all__ = ["InceptionScoreMetric"]

_FEW = 1000


class InceptionScoreMetric(FeatureSets):
    """Inception score; the extractor must give logits (``features: logits``).

    >>> from anyloom_metrics.tiny_metrics import CNN, edits, sound
    >>> metric = InceptionScoreMetric(InceptionScoreMetric.Config(extractor=CNN, modality="audio", splits=1))
    >>> metric.update(edits(sound))
    >>> sorted(name for name in metric.compute() if name.startswith("edit/") and name.count("/") == 1)
    ['edit/count', 'edit/flagged', 'edit/score', 'edit/split_std']
    """

    with_targets = False

    class Config(SetConfig):
        """Options.

        Args:
            splits: Number of splits.
            seed: Of the shuffle before them.
        """

        splits: PositiveInt = 10
        seed: int = 2020

    config: Config
    measures: Mapping[str, ValueInfo] = {
        "score": ValueInfo(
            "Inception score",
            "Confident and varied classifications; depends on the number of samples per split.",
            form="number",
        )
    }

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self._looking.require_logits()

    def contract(self) -> Contract:
        """Answers alone."""
        return Contract(("answer",), paired=False, preset="torch-fidelity@0.4.0")

    def enough(self, made: Tensor, real: Tensor) -> bool:
        """A sample per split."""
        del real
        return len(made) >= self.config.splits

    def statistic(self, made: Tensor, real: Tensor) -> dict[str, float]:
        """Mean over splits, and the standard deviation between them that is printed beside it."""
        del real
        found = inception_score(made, splits=self.config.splits, seed=self.config.seed)
        return {"score": found.mean, "split_std": found.std}

    def problems(self, made: Tensor, real: Tensor) -> dict[str, list[str]]:
        """Splits of few samples."""
        each = len(made) // self.config.splits
        return {"score": [f"{each} samples per split: biased downwards"]} if each < _FEW else {}
