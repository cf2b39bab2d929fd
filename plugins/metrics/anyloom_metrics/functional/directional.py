"""CLIP directional similarity of edits, with the three similarities that are reported beside it."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor
from torch.nn import functional as F

from anyloom_metrics.functional.checks import require_features
from anyloom_metrics.functional.similarity import paired_cosine

__all__ = ["EditSimilarities", "clip_directional_similarity", "edit_similarities"]


class EditSimilarities(NamedTuple):
    """What InstructPix2Pix reports of an edit, each ``(N,)``; higher is better.

    Args:
        input_text: Input picture with input caption (``sim_0``).
        output_text: Edited picture with edited caption (``sim_1``).
        directional: Change of the picture with change of the caption (``sim_direction``).
        image: Input picture with edited picture (``sim_image``).
    """

    input_text: Tensor
    output_text: Tensor
    directional: Tensor
    image: Tensor


def edit_similarities(image0: Tensor, image1: Tensor, text0: Tensor, text1: Tensor) -> EditSimilarities:
    """The four CLIP similarities of edits (Brooks et al., arXiv 2211.09800; ``metrics/clip_similarity.py``).

    Embeddings are brought to length 1 before they are subtracted: without that the directional similarity is another
    number. A picture that did not change has the directional similarity 0.

    Args:
        image0: CLIP embeddings ``(N, D)`` of the input pictures.
        image1: Of the edited pictures.
        text0: Of the input captions.
        text1: Of the edited captions (whole captions, not the instruction).

    >>> import torch
    >>> before, after = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    >>> found = edit_similarities(before, after, before, after)  # the picture changed as its caption did
    >>> round(float(found.directional), 4), round(float(found.image), 4)
    (1.0, 0.0)
    """
    i0, i1, t0, t1 = (
        F.normalize(require_features(f, name="embeddings"), dim=1) for f in (image0, image1, text0, text1)
    )
    return EditSimilarities(
        paired_cosine(i0, t0), paired_cosine(i1, t1), paired_cosine(i1 - i0, t1 - t0), paired_cosine(i0, i1)
    )


def clip_directional_similarity(image0: Tensor, image1: Tensor, text0: Tensor, text1: Tensor) -> Tensor:
    """The directional similarity ``(N,)`` of :func:`edit_similarities` alone.

    >>> import torch
    >>> x, y = torch.eye(2)[:1], torch.eye(2)[1:]
    >>> round(float(clip_directional_similarity(x, y, x, y)), 6)
    1.0
    """
    return edit_similarities(image0, image1, text0, text1).directional
