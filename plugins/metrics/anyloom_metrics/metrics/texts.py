"""Texts in torchmetrics states."""

from __future__ import annotations

import json
from typing import Any

import torch
from torch import Tensor

from anyloom.interfaces import Evaluated, Sample
from anyloom_metrics.metrics.rows import RowMetric

__all__ = ["TextMetric", "references_of"]


class TextMetric(RowMetric):
    """Base of metrics that need all texts at once: they are kept as bytes, one JSON value per scored sample."""

    letters: list[Tensor]
    sizes: list[Tensor]

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.add_rows("letters", torch.zeros(0, dtype=torch.uint8))
        self.add_rows("sizes", torch.zeros(0, dtype=torch.int64))

    def keep(self, value: Any) -> None:
        """Keep a JSON value for the sample that was noted last."""
        text = json.dumps(value).encode()
        self.append("letters", torch.tensor(list(text), dtype=torch.uint8))
        self.append("sizes", torch.tensor([len(text)]))

    def kept(self) -> dict[int, Any]:
        """The JSON values by sample number."""
        numbers = torch.nonzero(self.joined("reasons") == 0)[:, 0].tolist()
        pieces = torch.split(self.joined("letters"), self.joined("sizes").tolist())
        return {i: json.loads(bytes(piece.tolist())) for i, piece in zip(numbers, pieces)}

    def in_order(self, members: list[int]) -> list[Any]:
        """The JSON values of some samples, in the order of their identities."""
        identities, kept = self.joined("identities"), self.kept()
        there = [i for i in members if i in kept]
        return [kept[i] for i in sorted(there, key=lambda i: (int(identities[i]), json.dumps(kept[i])))]

    def wants(self, sample: Sample) -> bool:
        """Samples of the tasks that count, whose target has text."""
        return super().wants(sample) and bool(sample.conversation.messages[-1].text.strip())


def references_of(evaluated: Evaluated) -> list[str]:
    """Texts that an answer is compared with: those that the sample names, else its target's."""
    named = evaluated.sample.provenance.get("references", ())
    texts = [t for t in named if isinstance(t, str)] or [evaluated.sample.conversation.messages[-1].text]
    return [t for t in texts if t.strip()]
