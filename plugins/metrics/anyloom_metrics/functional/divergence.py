"""Paired KL divergence: does a generated sound sound like the same classes as its reference?"""

from __future__ import annotations

from typing import Literal

from torch import Tensor
from torch.nn import functional as F

from anyloom.errors import FeatureSpaceError
from anyloom_metrics.functional.checks import require_features, require_tensor

__all__ = ["paired_kl_divergence"]


def paired_kl_divergence(
    generated: Tensor, reference: Tensor, *, form: Literal["softmax", "sigmoid"] = "softmax"
) -> Tensor:
    """KL divergence of class probabilities per pair, ``sum p_ref (log p_ref - log(p_gen + 1e-6))``.

    As in audioldm_eval: the small number stands on the generated side alone. ``softmax`` is what papers print;
    ``sigmoid`` takes each class as a yes-or-no question and adds up the yes terms only, so it can be negative.

    Args:
        generated: Logits ``(N, classes)``.
        reference: Logits ``(N, classes)``, row by row those of the references.
        form: How probabilities are made of logits.

    Returns:
        Divergences ``(N,)`` in nats, float64; their mean is the published number. Lower is better.

    Raises:
        anyloom.errors.FeatureSpaceError: The rows do not pair.

    >>> import torch
    >>> paired_kl_divergence(torch.zeros(2, 3), torch.zeros(2, 3)).abs().max() < 1e-5
    tensor(True)
    """
    shapes = [require_tensor(f, name=n).shape for f, n in ((generated, "generated"), (reference, "reference"))]
    if shapes[0] != shapes[1]:
        raise FeatureSpaceError(f"logits {tuple(generated.shape)} do not pair with {tuple(reference.shape)}")
    made, real = require_features(generated, name="generated"), require_features(reference, name="reference")
    if form == "softmax":
        p, log_p, q = real.softmax(1), real.log_softmax(1), made.softmax(1)
    else:
        p, log_p, q = real.sigmoid(), F.logsigmoid(real), made.sigmoid()
    return (p * (log_p - (q + 1e-6).log())).sum(1)
