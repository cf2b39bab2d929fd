"""JSON Lines: one JSON value a line."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from anyloom.data.sources.lines import Lines
from anyloom.errors import BadRecord
from anyloom.storage.json_text import json_value

__all__ = ["JsonLines", "parse_json"]


class JsonLines:
    """JSON objects by line, parsed when they are asked for. A line that is a list is taken as its ``messages``.

    Args:
        path: The file.
        index: Folder of the index; beside the file by default.
        limit: Most bytes of a line.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "a.jsonl"
    ...     _ = path.write_text(json.dumps({"id": 1}) + chr(10) + json.dumps({"id": 2}) + chr(10))
    ...     lines = JsonLines(path)
    ...     len(lines), lines[1], lines.where(1).rpartition("/")[2]
    (2, {'id': 2}, 'a.jsonl:2')
    """

    def __init__(self, path: str | Path, *, index: Path | None = None, limit: int = 256 << 20) -> None:
        self.lines = Lines(path, index=index, limit=limit)

    def __len__(self) -> int:
        return len(self.lines)

    @property
    def shards(self) -> Sequence[range]:
        """Those of the lines."""
        return self.lines.shards

    def where(self, index: int) -> str:
        """Return file and line number, for errors."""
        return self.lines.where(index)

    def __getitem__(self, index: int) -> Mapping[str, Any]:
        """Parse a line.

        Raises:
            anyloom.errors.BadRecord: It is not JSON, or neither an object nor a list.
        """
        value = parse_json(self.lines.line(index), self.where(index))
        if isinstance(value, list):
            return {"messages": value}
        if not isinstance(value, dict):
            raise BadRecord("bad row", self.where(index), f"expected a JSON object, got {str(value)[:50]!r}")
        return value


def parse_json(data: bytes, where: str) -> Any:
    """Parse JSON text that nobody has looked at yet.

    Args:
        data: UTF-8 text.
        where: Its place, for errors.

    Raises:
        anyloom.errors.BadRecord: It is not JSON, is nested too deeply, has a number too long to read, or text that is
            no Unicode.

    >>> parse_json(b'{"id": 1}', "a.jsonl:1")
    {'id': 1}
    >>> try:
    ...     parse_json(b'{"id": ', "a.jsonl:2")
    ... except BadRecord as error:
    ...     print(error.reason, error.where)
    bad row a.jsonl:2
    """
    try:
        value = json_value(data)
        if b"\\ud" in data or b"\\uD" in data:  # half of a surrogate pair is JSON, but no text
            json.dumps(value, ensure_ascii=False).encode()
    except ValueError as error:
        raise BadRecord("bad row", where, f"not JSON ({error})") from error
    return value
