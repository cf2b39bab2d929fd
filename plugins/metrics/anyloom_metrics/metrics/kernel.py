"""Kernel distance (KID) of the features of answers and targets."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import PositiveInt
from torch import Tensor

from anyloom.interfaces import ValueInfo
from anyloom_metrics.functional.kernel import kernel_distance
from anyloom_metrics.metrics.contract import Contract
from anyloom_metrics.metrics.sets import FeatureSets, SetConfig

__all__ = ["KernelDistanceMetric"]


class KernelDistanceMetric(FeatureSets):
    """Kernel distance with the draws of torch-fidelity; unbiased, so it may be compared across numbers of samples.

    >>> from anyloom_metrics.tiny_metrics import DINO, edits, picture
    >>> options = {"extractor": DINO, "modality": "image", "subsets": 5, "subset_size": 2}  # published: 100 of 1000
    >>> metric = KernelDistanceMetric(KernelDistanceMetric.Config(**options))
    >>> metric.update(edits(picture))
    >>> sorted(name for name in metric.compute() if name.startswith("edit/") and name.count("/") == 1)
    ['edit/count', 'edit/distance', 'edit/flagged', 'edit/subset_std']
    """

    class Config(SetConfig):
        """Options.

        Args:
            subsets: Number of subsets.
            subset_size: Samples per subset; groups with fewer have no value.
            seed: Of the subsets.
        """

        subsets: PositiveInt = 100
        subset_size: PositiveInt = 1000
        seed: int = 2020

    config: Config
    measures: Mapping[str, ValueInfo] = {
        "distance": ValueInfo(
            "Kernel distance",
            "Squared maximum mean discrepancy under a cubic kernel; may be negative.",
            better="lower",
            form="number",
        )
    }

    def contract(self) -> Contract:
        """Sets of answers and targets, the draws of torch-fidelity."""
        return Contract(("answer", "target"), paired=False, preset="torch-fidelity@0.4.0")

    def enough(self, made: Tensor, real: Tensor) -> bool:
        """A whole subset of the features ``(N, D)`` on each side."""
        return min(len(made), len(real)) >= max(2, self.config.subset_size)

    def statistic(self, made: Tensor, real: Tensor) -> dict[str, float]:
        """Mean over subsets, and the standard deviation between them that is printed beside it."""
        options = self.config
        found = kernel_distance(made, real, subsets=options.subsets, subset_size=options.subset_size, seed=options.seed)
        return {"distance": found.mean, "subset_std": found.std}

    def found_flags(self) -> dict[str, list[str]]:
        """Also groups that are too small for one subset."""
        found = super().found_flags()
        there = {group for group, _, _ in self._groups()}
        for group in self.members().keys() - there:
            found.setdefault(f"{group}/distance", []).append(f"no subset of {self.config.subset_size} samples")
        return found
