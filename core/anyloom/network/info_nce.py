"""The loss `info-nce`: a predicted medium lies nearer to its own target than to those of others."""

from __future__ import annotations

import torch
from pydantic import PositiveFloat
from torch import Tensor
from torch.nn import functional as F

from anyloom.interfaces.loss import Loss, Seen

__all__ = ["InfoNCE"]


class InfoNCE(Loss):
    """Cross entropy over the targets of a batch (van den Oord et al., arXiv 1807.03748), for each modality.

    A batch with one medium of a modality has no other target to tell it from: its loss is zero.

    >>> from anyloom.interfaces.loss import SeenMedia
    >>> same = torch.eye(2)[:, None]  # two media, each like its own target alone
    >>> media = SeenMedia(same, same, hidden=torch.zeros(2, 2, 1), sample=torch.arange(2))
    >>> total, count = InfoNCE.from_options(temperature=0.1)(Seen(torch.zeros(1, 1, 1), {"picture": media}))
    >>> round(float(total / count), 6)  # log(1 + exp(-1 / 0.1))
    4.5e-05
    """

    config: Config

    class Config(Loss.Config):
        """Options.

        Args:
            temperature: Cosines are divided by it before the softmax; small ones look at the nearest targets alone.
        """

        temperature: PositiveFloat = 0.1

    def forward(self, seen: Seen) -> tuple[Tensor, Tensor]:
        """Sum ``()`` over all media that were to be predicted, and their number ``()``."""
        total = seen.hidden.new_zeros((), dtype=torch.float32)
        count = 0
        for media in seen.media.values():
            predicted = F.normalize(media.predicted.float().flatten(1), dim=1)
            targets = F.normalize(media.features.float().flatten(1), dim=1)
            own = torch.arange(len(targets), device=targets.device)
            cosines = predicted @ targets.T
            total = total + F.cross_entropy(cosines / self.config.temperature, own, reduction="sum")
            count += len(targets)
        return total, torch.tensor(count, device=total.device)
