"""Inception score: confident and varied classifications of generated media."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from anyloom.errors import MediaError
from anyloom_metrics.functional.checks import require_features, require_number

__all__ = ["InceptionScore", "inception_score"]


class InceptionScore(NamedTuple):
    """Mean over splits and their population standard deviation, the form that papers print."""

    mean: float
    std: float


def inception_score(logits: Tensor, *, splits: int = 10, seed: int | None = 2020) -> InceptionScore:
    """Inception score, ``exp(mean KL(p(y|x) || p(y)))`` per split (Salimans et al., arXiv 1606.03498).

    Split i holds the rows ``i N // splits`` to ``(i + 1) N // splits`` of a shuffled order, as in torch-fidelity and
    audioldm_eval. Higher is better. Small splits bias it downwards, so state N.

    Args:
        logits: ``(N, classes)`` of generated media.
        splits: Number of splits.
        seed: Of the shuffle (numpy's legacy generator); None keeps the order.

    Raises:
        anyloom.errors.MediaError: Fewer samples than splits.
        anyloom.errors.ConfigError: There are no splits.

    >>> certain = 50.0 * torch.eye(4)
    >>> round(inception_score(certain, splits=1).mean, 3)
    4.0
    """
    require_number(splits, name="splits", least=1, whole=True)
    rows = require_features(logits, name="logits")
    if len(rows) < splits:
        raise MediaError(f"{len(rows)} samples are too few for {splits} splits", where="logits", fix="use fewer splits")
    if seed is not None:
        order = np.random.RandomState(seed).permutation(len(rows))
        rows = rows[torch.from_numpy(order).to(rows.device)]
    p = rows.softmax(1)
    scores = []
    for i in range(splits):
        part = p[i * len(rows) // splits : (i + 1) * len(rows) // splits]
        marginal = part.mean(0, keepdim=True)
        # xlogy is 0 where a class has no probability at all
        divergence = torch.xlogy(part, part) - torch.xlogy(part, marginal)
        scores.append(float(divergence.sum(1).mean().exp()))
    return InceptionScore(float(np.mean(scores)), float(np.std(scores)))
