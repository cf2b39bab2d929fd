"""Frechet distance of the features of answers and targets: FID, FD, FAD, FVD by the extractor."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from anyloom.errors import CheckpointError
from anyloom.interfaces import ValueInfo
from anyloom.storage.tensors import read_tensors, write_tensors
from anyloom_metrics.functional.frechet import Statistics, covariance_problem, frechet_distance
from anyloom_metrics.metrics.contract import Contract
from anyloom_metrics.metrics.sets import FeatureSets, SetConfig

__all__ = ["FrechetDistance", "read_statistics", "write_statistics"]


class FrechetDistance(FeatureSets):
    """Frechet distance between what was generated and what was wanted, as sets.

    FID is this with ``inception-fid``, FD with ``cnn14``, FAD with ``vggish``, FVD with an encoder of clips.

    >>> from anyloom_metrics.tiny_metrics import DINO, edits, picture
    >>> metric = FrechetDistance(FrechetDistance.Config(extractor=DINO, modality="image"))  # a small random network
    >>> metric.update(edits(picture))
    >>> bool(metric.compute()["edit/distance"] > 0)
    True
    >>> metric.flags()["edit/distance"][-1]
    'the extractor has no weights'
    """

    class Config(SetConfig):
        """Options.

        Args:
            statistics: Safetensors file with ``mean`` (D,) and ``covariance`` (D, D) of reference features, which
                then stand in for the targets'; see :func:`write_statistics`.
        """

        statistics: Path | None = None

    config: Config
    measures: Mapping[str, ValueInfo] = {
        "distance": ValueInfo(
            "Frechet distance",
            "Between normal distributions fitted to the features of answers and of targets. Depends on the number of "
            "samples: compare only at equal numbers.",
            better="lower",
            form="number",
        )
    }

    def __init__(self, config: Any) -> None:
        self.with_targets = config.statistics is None
        self._fixed = None if config.statistics is None else read_statistics(config.statistics)
        super().__init__(config)

    def contract(self) -> Contract:
        """Sets of answers and targets."""
        inputs = ("answer", "target") if self.with_targets else ("answer",)
        return Contract(inputs, paired=False, sample_rate=self._looking.sample_rate)

    def enough(self, made: Tensor, real: Tensor) -> bool:
        """Two features ``(N, D)`` on each side."""
        return len(made) > 1 and (self._fixed is not None or len(real) > 1)

    def statistic(self, made: Tensor, real: Tensor) -> dict[str, float]:
        """The distance between two sets of features ``(N, D)``."""
        with warnings.catch_warnings():  # what is warned of is a flag here
            warnings.filterwarnings("ignore", message=".*samples.*dimensions")
            return {"distance": float(frechet_distance(made, real if self._fixed is None else self._fixed))}

    def problems(self, made: Tensor, real: Tensor) -> dict[str, list[str]]:
        """Covariances of too few features ``(N, D)``."""
        sides = {"answers": made} if self._fixed is not None else {"answers": made, "targets": real}
        said = [f"{name}: {p}" for name, rows in sides.items() if (p := covariance_problem(*rows.shape))]
        return {"distance": said} if said else {}


def write_statistics(features: Tensor, path: Path) -> None:
    """Write mean and covariance of reference features ``(N, D)``, to be compared with later."""
    found = Statistics.of(features)
    write_tensors({"mean": found.mean, "covariance": found.covariance}, path, {"samples": str(len(features))})


def read_statistics(path: Path) -> Statistics:
    """Read what :func:`write_statistics` wrote.

    Raises:
        anyloom.errors.CheckpointError: The file is missing, broken or holds something else.

    >>> import tempfile
    >>> import torch
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_statistics(torch.tensor([[0.0], [2.0]]), Path(folder, "known.safetensors"))
    ...     found = read_statistics(Path(folder, "known.safetensors"))
    >>> found.mean.tolist(), found.covariance.tolist()
    ([1.0], [[2.0]])
    """
    tensors = read_tensors(path)
    mean, covariance = tensors.get("mean"), tensors.get("covariance")
    if mean is None or covariance is None or mean.ndim != 1 or covariance.shape != (len(mean), len(mean)):
        raise CheckpointError("expected 'mean' (D,) and 'covariance' (D, D)", where=str(path))
    return Statistics(mean.double(), covariance.double())
