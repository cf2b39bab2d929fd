"""Features of a whole gallery, kept for later runs in one file: encoding it takes most of an evaluation.

The file's name is the digest of all that the rows depend on: the encoder (:mod:`anyloom.features.identity`), the keys
in their order, and what the data set says that its media depend on besides their keys. So stale rows are never found.
A file comes whole or not at all, its check sum is compared when it is read, and what is broken is made again.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Sequence
from typing import Final

from torch import Tensor

from anyloom.errors import AnyloomError
from anyloom.features.entry import BrokenEntryError, as_bytes, read_entry
from anyloom.features.identity import digest_of, identity, weights_digest
from anyloom.interfaces import Encoder
from anyloom.storage.atomic import replacing
from anyloom.storage.caches import cache_folder

__all__ = ["KeptRows"]

_LIMIT: Final = 4 << 30
"""Bytes that the folder may hold; the files that were read least lately make room."""


class KeptRows:
    """Rows of one gallery on disk, in ``$XDG_CACHE_HOME/anyloom/galleries``.

    Args:
        encoder: What makes the rows; frozen.
        modality: Of the media.
        place: Device that it runs on.
        keys: Of the media, in order.
        source: What the media depend on besides their keys.
    """

    def __init__(self, encoder: Encoder, modality: str, place: str, keys: Sequence[str], source: str) -> None:
        precision = f"{place} {next((p.dtype for p in encoder.parameters()), '')}"
        makes = digest_of(identity(encoder, weights_digest(encoder), modality, precision))
        listed = hashlib.sha256("\n".join(keys).encode()).hexdigest()
        self.name = digest_of({"made by": makes, "keys": listed, "count": len(keys), "source": source})
        self.path, self.count = cache_folder("galleries") / f"{self.name[:32]}.safetensors", len(keys)

    def read(self) -> Tensor | None:
        """The rows ``(N, D)``; None where they are not kept, or broken."""
        try:
            rows = read_entry(self.path, self.name)
            os.utime(self.path)
        except (OSError, BrokenEntryError):
            return None
        return rows if len(rows) == self.count else None

    def write(self, rows: Tensor) -> None:
        """Keep the rows ``(N, D)``, unless there is no room, or nothing may be written."""
        content = as_bytes(self.name, rows)
        if len(content) > _LIMIT:
            return
        with contextlib.suppress(OSError, AnyloomError):
            self._make_room(len(content))
            with replacing(self.path, durable=False) as draft:
                draft.write_bytes(content)

    def _make_room(self, size: int) -> None:
        kept = sorted(((p.stat(), p) for p in self.path.parent.glob("*.safetensors")), key=lambda f: f[0].st_mtime)
        held = sum(stat.st_size for stat, _ in kept)
        for stat, path in kept:
            if held + size <= _LIMIT:
                return
            path.unlink(missing_ok=True)
            held -= stat.st_size
