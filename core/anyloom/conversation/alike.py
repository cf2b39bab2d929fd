"""Whether a model reads the same in two media."""

from __future__ import annotations

import torch

from anyloom.conversation.medium import Media

__all__ = ["reads_alike"]


def reads_alike(a: Media, b: Media) -> bool:
    """Whether two media are the same to a model: the same object, of one key, or of equal content.

    How a medium came here makes no difference, so that a conversation whose media are read from other files, such as
    those of a session that is replayed, goes on from exactly the same positions.

    Raises:
        anyloom.errors.MediaError: A file of one of them cannot be read.

    >>> a, b = Media("picture", torch.zeros(3, 2, 2)), Media("picture", torch.zeros(3, 2, 2), path="a.png")
    >>> reads_alike(a, b), reads_alike(a, Media("picture", torch.ones(3, 2, 2))), reads_alike(a, b.captioned("a cat"))
    (True, False, False)
    """
    if a is b:
        return True
    if (a.modality, a.caption, a.space) != (b.modality, b.caption, b.space):
        return False
    if a.features is not None or b.features is not None:  # these are read in the place of what was made from them
        return _equal(a.features, b.features)
    if a.key and a.key == b.key:
        return True
    if not (a.has_data and b.has_data) or dict(a.meta) != dict(b.meta):
        return False
    first, second = (getattr(m.loader, "content", None) if m.data is None else None for m in (a, b))
    if first is not None and second is not None:  # files say it without being opened: clips may be long
        return bool(first() == second())
    return _equal(a.tensor(), b.tensor())


def _equal(a: torch.Tensor | None, b: torch.Tensor | None) -> bool:
    same_kind = a is not None and b is not None and a.dtype == b.dtype and a.device == b.device
    return same_kind and a is not None and b is not None and torch.equal(a, b)
