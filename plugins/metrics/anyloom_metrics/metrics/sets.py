"""Metrics of whole sets of features: each sample gives features, one number comes out of all of them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from pydantic import NonNegativeInt
from torch import Tensor

from anyloom.conversation import Media
from anyloom.errors import FeatureSpaceError
from anyloom.interfaces import Evaluated, Sample
from anyloom_metrics.metrics.asked import answered, fault_of, target_of, wants_target
from anyloom_metrics.metrics.looking import Looking
from anyloom_metrics.metrics.rows import RowConfig, RowMetric

__all__ = ["FeatureSets", "SetConfig"]


class SetConfig(RowConfig):
    """Options of metrics that compare sets of features.

    Args:
        extractor: The network to look through, ``{name: inception-fid, weights: ...}``; any encoder.
        modality: What is looked at.
        draws: Bootstrap draws for the standard error; 0 leaves it out.
    """

    extractor: dict[str, Any]
    modality: str
    draws: NonNegativeInt = 20


class FeatureSets(RowMetric):
    """Base of metrics over the features of answers and of targets.

    Features are put in the order of their samples' identities before anything is drawn from them, so that the value
    does not depend on batches and processes. A medium with several features (VGGish's) counts as several. Standard
    errors are bootstrapped over samples: a sample that is drawn brings the features of its answer and of its
    target.

    Attributes:
        with_targets: Whether the metric looks at targets at all.
    """

    config: SetConfig
    needs_media = True
    with_targets = True
    made: list[Tensor]
    real: list[Tensor]
    made_owners: list[Tensor]
    real_owners: list[Tensor]

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self._looking = Looking(config.extractor, config.modality)
        for side in ("made", "real"):
            self.add_rows(f"{side}_owners", torch.zeros(0, dtype=torch.int64))
            self.add_rows(side, torch.zeros(0, self._looking.width()))

    def load(self) -> None:
        """Load the extractor."""
        self._looking.encoder()

    def wants(self, sample: Sample) -> bool:
        """Samples whose target is of the modality."""
        return wants_target(sample, self.config.modality, self.config.tasks)

    def update(self, evaluated: list[Evaluated]) -> None:
        """Take the features of answers and targets."""
        kept: list[tuple[int, Media, Media | None]] = []
        for one in evaluated:
            answer = answered(one, self.config.modality)
            target = target_of(one.sample, self.config.modality) if self.with_targets else None
            reason = fault_of(answer) or (fault_of(target, reference=True) if self.with_targets else "")
            self.note(one.sample, reason)
            if not reason and answer is not None:
                kept.append((int(self.identities[-1]), answer, target))
        self._take("made", [i for i, _, _ in kept], [m for _, m, _ in kept])
        if self.with_targets:
            self._take("real", [i for i, _, _ in kept], [m for _, _, m in kept if m is not None])

    def _take(self, side: str, owners: Sequence[int], media: Sequence[Media]) -> None:
        for owner, features in zip(owners, self._looking.media(media, self.place) if media else ()):
            if features.shape[1] != self._empty[side].shape[1]:
                raise FeatureSpaceError(f"features {tuple(features.shape)} are not as wide as the extractor declares")
            self.append(side, features)
            self.append(f"{side}_owners", torch.full((len(features),), owner))

    @abstractmethod
    def statistic(self, made: Tensor, real: Tensor) -> dict[str, float]:
        """Return the values of features ``(N, D)`` of answers and ``(M, D)`` of targets."""

    def problems(self, made: Tensor, real: Tensor) -> dict[str, list[str]]:
        """Say what forbids reading the values of these features as they stand, by value; nothing by default."""
        del made, real
        return {}

    def enough(self, made: Tensor, real: Tensor) -> bool:
        """Whether features ``(N, D)`` of both sides give a value at all."""
        del real
        return len(made) > 1

    def compute(self) -> dict[str, Tensor]:
        """Values by ``<group>/<value>``, with ``<group>/count`` and ``<group>/flagged``."""
        found: dict[str, Tensor] = {}
        for group, made, real in self._groups():
            found |= {f"{group}/{name}": torch.tensor(v) for name, v in self.statistic(made[1], real[1]).items()}
        return found | self.counts()

    def found_flags(self) -> dict[str, list[str]]:
        """Samples that were not scored, an extractor without weights, sets that are too small."""
        found = super().found_flags()
        for group, made, real in self._groups():
            for name, said in self.problems(made[1], real[1]).items():
                found.setdefault(f"{group}/{name}", []).extend(said)
            if self._looking.untrained:
                for name in self.measures:
                    found.setdefault(f"{group}/{name}", []).append("the extractor has no weights")
        return found

    def found_errors(self) -> dict[str, float]:
        """Standard deviations over bootstrap draws of samples."""
        found: dict[str, float] = {}
        for group, made, real in self._groups() if self.config.draws > 1 else ():
            generator = np.random.RandomState(0)
            owners = torch.unique(made[0])
            drawn: dict[str, list[float]] = {}
            for _ in range(self.config.draws):
                chosen = owners[torch.from_numpy(generator.randint(len(owners), size=len(owners)))]
                sides = [_drawn(side, chosen) for side in (made, real)]
                if not self.enough(*sides):
                    continue
                for name, value in self.statistic(*sides).items():
                    drawn.setdefault(name, []).append(value)
            found |= {f"{group}/{n}": float(np.std(v, ddof=1)) for n, v in drawn.items() if len(v) > 1}
        return found

    def _groups(self) -> list[tuple[str, tuple[Tensor, Tensor], tuple[Tensor, Tensor]]]:
        """Owners and features of both sides for each group that has enough."""
        identities = self.joined("identities")
        sides = [_ordered(self.joined(f"{s}_owners"), self.joined(s)) for s in ("made", "real")]
        found = []
        for group, members in self.members().items():
            own = [(owners[m], rows[m]) for owners, rows in sides for m in [torch.isin(owners, identities[members])]]
            if self.enough(own[0][1], own[1][1]):
                found.append((group, own[0], own[1]))
        return found


def _ordered(owners: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Sort rows by their owners; features of one owner by their first value."""
    order = torch.from_numpy(np.lexsort((rows[:, 0].numpy(), owners.numpy())))
    return owners[order], rows[order]


def _drawn(side: tuple[Tensor, Tensor], chosen: Tensor) -> Tensor:
    """Rows of the chosen owners, as often as each was chosen."""
    owners, rows = side
    distinct, times = torch.unique(chosen, return_counts=True)
    place = torch.searchsorted(distinct, owners).clamp(max=len(distinct) - 1)
    repeats = torch.where(distinct[place] == owners, times[place], 0)
    return rows.repeat_interleave(repeats, dim=0)
