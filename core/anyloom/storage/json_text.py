"""Reads JSON that anybody may have written: bounded in size, and whatever is wrong with it is one kind of error."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from anyloom.errors import AnyloomError, CheckpointError
from anyloom.limits import limit

__all__ = ["json_value", "read_json"]


def json_value(content: str | bytes, *, pairs: Callable[[list[tuple[str, Any]]], Any] | None = None) -> Any:
    """Return the value of a text.

    Args:
        content: The text; bytes are UTF-8 or, as JSON says itself by its first bytes, UTF-16 or UTF-32.
        pairs: Makes the value of an object from its names and values, a dictionary by default.

    Raises:
        ValueError: It is no Unicode, not JSON, nested too deeply, has a number too long to read, or ``pairs`` says so.

    >>> json_value(b'{"size": 4}')
    {'size': 4}
    >>> try:
    ...     json_value("[" * 100_000)
    ... except ValueError as error:
    ...     print(error)
    nested too deeply
    """
    try:
        text = content if isinstance(content, str) else content.decode(json.detect_encoding(content))
        return json.loads(text, object_pairs_hook=pairs)
    except RecursionError:  # which is no ValueError, as everything else is
        raise ValueError("nested too deeply") from None


def read_json(
    file: Path,
    *,
    what: str = "this is not JSON",
    where: Path | None = None,
    fix: str = "fetch it again",
    error: type[AnyloomError] = CheckpointError,
    kind: type = dict,
    most: int | None = None,
) -> Any:
    """Return the value of a file, of which no more is read than is allowed.

    Args:
        file: The file.
        what: What is wrong where it cannot be read; the reason follows in brackets.
        where: The place that the error names, by default the file.
        fix: What the error says to do.
        error: Its class.
        kind: Type of the value; ``object`` takes any.
        most: Bytes, by default the limit ``record-bytes`` (:mod:`anyloom.limits`).

    Raises:
        anyloom.errors.AnyloomError: One of class ``error``: the file is not there, no ordinary file or cannot be read,
            is too large, no JSON (see :func:`json_value`) or holds a value of another type.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder) / "sizes.json"
    ...     _ = file.write_text("[4]")
    ...     read_json(file, kind=list)
    ...     try:
    ...         read_json(file, fix="write it again")
    ...     except CheckpointError as error:
    ...         print(error.what, "->", error.fix)
    [4]
    this is not JSON (expected a table, got list) -> write it again
    """
    most = limit("record-bytes") if most is None else most
    try:
        if file.exists() and not file.is_file():  # a pipe would be waited for
            raise ValueError("it is no ordinary file")
        with file.open("rb") as stream:
            content = stream.read(most + 1)
        if len(content) > most:
            raise ValueError(f"it has more than {most:,} bytes")
        value = json_value(content)
        if not isinstance(value, kind):
            raise ValueError(f"expected a {'table' if kind is dict else kind.__name__}, got {type(value).__name__}")
    except (OSError, ValueError) as reason:  # ValueError: also a zero byte in the path
        raise error(f"{what} ({reason})", where=str(where or file), fix=fix) from reason
    return value
