"""Subject fidelity (DINO, CLIP-I) and prompt fidelity (CLIP-T) of generated pictures."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from anyloom.errors import ConfigError, MediaError
from anyloom_metrics.functional.checks import require_features
from anyloom_metrics.functional.similarity import paired_cosine

__all__ = ["frame_text_alignment", "image_alignment", "text_image_alignment"]


def image_alignment(
    generated: Tensor,
    references: Tensor,
    *,
    pairing: Literal["input", "all"] = "input",
    owners: tuple[Tensor, Tensor] | None = None,
) -> Tensor:
    """Cosine of generated pictures with real pictures of the same subject; higher is better.

    Two protocols share the name, and their numbers do not compare: ``input`` pairs each generated picture with the one
    picture its prompt held (KOSMOS-G, arXiv 2310.02992, whose numbers CoDi-2's Table 4 stands beside); ``all`` takes
    the mean over all real pictures of the subject (DreamBooth, arXiv 2208.12242). No value is cut off at 0 here; the
    mean over a data set is.

    Args:
        generated: Embeddings ``(N, D)``.
        references: Embeddings ``(N, D)`` for ``input``, ``(M, D)`` for ``all``.
        pairing: The protocol.
        owners: For ``all``: numbers of the subjects of the generated pictures ``(N,)`` and of the references ``(M,)``.

    Returns:
        ``(N,)``, float64; the published number is the mean.

    Raises:
        anyloom.errors.ConfigError: ``owners`` is missing or given in vain.
        anyloom.errors.MediaError: A subject has no reference.

    >>> made, real = torch.tensor([[1.0, 0.0]]), torch.eye(2)
    >>> image_alignment(made, real, pairing="all", owners=(torch.tensor([7]), torch.tensor([7, 7]))).tolist()
    [0.5]
    """
    if (pairing == "all") != (owners is not None):
        raise ConfigError("'owners' goes with pairing 'all' and with no other", where="owners")
    if owners is None:
        return paired_cosine(generated, references)
    made = F.normalize(require_features(generated, name="generated"), dim=1)
    real = F.normalize(require_features(references, name="references"), dim=1)
    same = owners[0][:, None] == owners[1][None]
    if not bool(same.any(1).all()):
        missing = int((~same.any(1)).sum())
        raise MediaError(f"{missing} generated pictures have no reference of their subject", where="references")
    return torch.where(same, made @ real.T, 0.0).sum(1) / same.sum(1)


def text_image_alignment(generated: Tensor, prompts: Tensor) -> Tensor:
    """CLIP-T: cosine ``(N,)`` of generated pictures with their prompts; higher is better.

    Args:
        generated: CLIP embeddings ``(N, D)`` of the pictures.
        prompts: CLIP embeddings ``(N, D)`` of the prompts, with the class noun and without a made-up token.

    >>> text_image_alignment(torch.eye(2), torch.tensor([[1.0, 0.0], [1.0, 0.0]])).tolist()
    [1.0, 0.0]
    """
    return paired_cosine(generated, prompts)


def frame_text_alignment(frames: Tensor, prompts: Tensor) -> Tensor:
    """CLIPSIM of clips: mean over frames of the cosine with the prompt (GODIVA, arXiv 2104.14806); higher is better.

    Args:
        frames: CLIP embeddings ``(N, T, D)``.
        prompts: CLIP embeddings ``(N, D)``.

    Returns:
        ``(N,)``, float64.

    >>> frame_text_alignment(torch.eye(2)[None], torch.eye(2)[:1]).tolist()
    [0.5]
    """
    times = frames.shape[1]
    return paired_cosine(frames.flatten(0, 1), prompts.repeat_interleave(times, 0)).reshape(-1, times).mean(1)
