"""Write webdataset tar shards whose bytes depend on the members alone."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any


def write_shard(path: Path, members: Iterable[tuple[str, bytes]]) -> None:
    """Write ``members`` (name, content) as a plain USTAR archive with no times, owners or modes of its own."""
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in members:
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            entry.mode = 0o644
            archive.addfile(entry, io.BytesIO(content))


def json_bytes(record: dict[str, Any]) -> bytes:
    """Return ``record`` as compact JSON in the order of its keys."""
    return json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode()
