"""Seeds that come from the media themselves, so that a validation loss does not depend on how batches are cut."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

__all__ = ["content_seeds"]


def content_seeds(keys: Iterable[str]) -> list[int]:
    """One seed per content key: the same in every batch, process and run. Media without a key share one seed.

    >>> content_seeds(["a", "b", "a"]) == content_seeds(["a"]) + content_seeds(["b", "a"])
    True
    """
    return [int.from_bytes(hashlib.blake2b(key.encode(), digest_size=4).digest(), "big") for key in keys]
