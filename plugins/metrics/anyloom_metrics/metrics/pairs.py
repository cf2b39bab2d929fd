"""Metrics that compare each answer with the target of its own sample."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from anyloom.conversation import Media
from anyloom.interfaces import Evaluated, Sample
from anyloom_metrics.metrics.asked import answered, fault_of, target_of, wants_target
from anyloom_metrics.metrics.looking import Looking
from anyloom_metrics.metrics.means import MeanMetric
from anyloom_metrics.metrics.rows import RowConfig

__all__ = ["LookingConfig", "LookingMetric", "PairConfig", "PairMetric", "media_of"]


class PairConfig(RowConfig):
    """Options of metrics of pairs.

    Args:
        modality: What is compared.
    """

    modality: str = "image"


class PairMetric(MeanMetric):
    """Base of metrics of an answer and its target."""

    config: Any
    needs_media = True

    def wants(self, sample: Sample) -> bool:
        """Samples whose target is of the modality."""
        return wants_target(sample, self.config.modality, self.config.tasks)

    def refuse(self, evaluated: Evaluated) -> str:
        """Answers and targets that are missing, broken or silent."""
        answer, target = self.pair(evaluated)
        return fault_of(answer) or fault_of(target, reference=True)

    def pair(self, evaluated: Evaluated) -> tuple[Media | None, Media | None]:
        """The answer and its target."""
        modality = self.config.modality
        return answered(evaluated, modality), target_of(evaluated.sample, modality)


class LookingConfig(RowConfig):
    """Options of metrics that look through an extractor.

    Args:
        extractor: The network, ``{name: clip-joint, weights: ...}``.
        modality: What is looked at.
    """

    extractor: dict[str, Any]
    modality: str = "image"


class LookingMetric(MeanMetric):
    """Base of metrics of single answers through an extractor."""

    config: Any
    needs_media = True

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self._looking = Looking(config.extractor, config.modality)

    def load(self) -> None:
        """Load the extractor."""
        self._looking.encoder()

    def wants(self, sample: Sample) -> bool:
        """Samples whose target is of the modality."""
        return wants_target(sample, self.config.modality, self.config.tasks)

    def features(self, media: Sequence[Media]) -> Tensor:
        """Features ``(N, D)`` of media, all tokens of an item in a row."""
        import torch

        return torch.stack([f.flatten() for f in self._looking.media(media, self.place)])

    def texts(self, texts: Sequence[str]) -> Tensor:
        """Embeddings ``(N, D)`` of texts."""
        return self._looking.texts(texts, self.place)

    def found_flags(self) -> dict[str, list[str]]:
        """Also an extractor without weights."""
        found = super().found_flags()
        if self._looking.untrained:
            for group in self.members():
                for name in self.columns:
                    found.setdefault(f"{group}/{name}", []).append("the extractor has no weights")
        return found


def media_of(found: Media | None) -> Media:
    """A media item that is known to be there, because ``refuse`` lets no other through."""
    assert found is not None
    return found
