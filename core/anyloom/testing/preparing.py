"""Media as stacks of preprocessed tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from anyloom.conversation.segments import Media
from anyloom.testing.checking import require

__all__ = ["prepared"]


def prepared(part: Any, media: Sequence[Media]) -> dict[str, Tensor]:
    """Preprocess media with an encoder or decoder.

    Args:
        part: The component.
        media: Of one or several modalities.

    Returns:
        A stack ``(B, ...)`` by modality.

    Raises:
        anyloom.testing.ConformanceError: Tensors of one modality do not stack.
    """
    rows: dict[str, list[Tensor]] = {}
    for item in media:
        rows.setdefault(item.modality, []).append(part.preprocess(item))
    for name, tensors in rows.items():
        forms = {(tuple(t.shape), t.dtype) for t in tensors}
        require(len(forms) == 1, f"preprocessed {name} differs in shape or type: {sorted(map(str, forms))}")
    return {name: torch.stack(tensors) for name, tensors in rows.items()}
