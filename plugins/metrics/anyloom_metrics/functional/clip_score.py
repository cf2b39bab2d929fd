"""CLIPScore in both published conventions, RefCLIPScore, and the score of CLAP."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from anyloom.errors import MediaError
from anyloom_metrics.functional.checks import require_features
from anyloom_metrics.functional.similarity import paired_cosine

__all__ = ["clap_score", "clip_score", "ref_clip_score", "ref_only_score"]

CLIPConvention = Literal["hessel", "torchmetrics"]


def clip_score(images: Tensor, texts: Tensor, *, convention: CLIPConvention = "hessel") -> Tensor:
    """CLIPScore per pair; higher is better. The two conventions differ by a factor of 40, so say which is printed.

    Args:
        images: CLIP embeddings ``(N, D)``.
        texts: CLIP embeddings ``(N, D)``. For ``hessel`` of texts after the prefix "A photo depicts ".
        convention: ``hessel`` is 2.5 max(cos, 0) (Hessel et al., arXiv 2104.08718); ``torchmetrics`` is 100 cos, of
            which only the mean over a data set is cut off at 0.

    Returns:
        ``(N,)``, float64.

    >>> pair = torch.tensor([[1.0, 0.0]]), torch.tensor([[1.0, 0.0]])
    >>> clip_score(*pair).tolist(), clip_score(*pair, convention="torchmetrics").tolist()
    ([2.5], [100.0])
    """
    cosine = paired_cosine(images, texts)
    return 2.5 * cosine.clamp(min=0) if convention == "hessel" else 100 * cosine


def ref_clip_score(images: Tensor, texts: Tensor, references: Tensor, owners: Tensor) -> Tensor:
    """RefCLIPScore ``(N,)``: harmonic mean of CLIPScore and the nearest reference text; higher is better.

    Args:
        images: CLIP embeddings ``(N, D)``.
        texts: Of the candidate texts ``(N, D)``.
        references: Of reference texts ``(M, D)``.
        owners: ``(M,)``, row of the candidate that each reference belongs to.

    Raises:
        anyloom.errors.MediaError: A candidate has no reference.

    >>> pictures, texts = torch.eye(2), torch.eye(2)
    >>> ref_clip_score(pictures, texts, references=torch.eye(2), owners=torch.tensor([0, 1])).shape
    torch.Size([2])
    """
    score, nearest = clip_score(images, texts), ref_only_score(texts, references, owners)
    total = score + nearest
    return torch.where(total > 0, 2 * score * nearest / total, 0.0)


def ref_only_score(texts: Tensor, references: Tensor, owners: Tensor) -> Tensor:
    """Largest cosine ``(N,)`` of a text with any of its references, 0 if all are below; no picture is looked at.

    Args:
        texts: CLIP embeddings of the candidate texts ``(N, D)``.
        references: Of reference texts ``(M, D)``.
        owners: ``(M,)``, row of the candidate that each reference belongs to.

    Raises:
        anyloom.errors.MediaError: A candidate has no reference.

    >>> texts = torch.tensor([[1.0, 0.0]])
    >>> references = torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    >>> ref_only_score(texts, references, owners=torch.tensor([0, 0])).tolist()
    [1.0]
    """
    cosines = (
        F.normalize(require_features(texts, name="texts"), dim=1)
        @ F.normalize(require_features(references, name="references"), dim=1).mT
    )
    own = owners[None] == torch.arange(len(texts), device=owners.device)[:, None]
    if not bool(own.any(1).all()):
        raise MediaError(f"{int((~own.any(1)).sum())} candidates have no reference text", where="references")
    return torch.where(own, cosines, -torch.inf).amax(1).clamp(min=0)


def clap_score(sounds: Tensor, texts: Tensor) -> Tensor:
    """Cosine ``(N,)`` of CLAP embeddings ``(N, D)`` of sounds and of texts; higher is better.

    >>> clap_score(torch.tensor([[1.0, 0.0]]), torch.tensor([[2.0, 0.0]])).tolist()
    [1.0]
    """
    return paired_cosine(sounds, texts)
