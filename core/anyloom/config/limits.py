"""Reading text files that may come from a stranger: they must not take the memory or the time of who opens them."""

from __future__ import annotations

import os
from pathlib import Path

from anyloom.errors import ConfigError
from anyloom.limits import limit

__all__ = ["read_limited"]


def read_limited(path: Path) -> str:
    """Read a text file that may come from a stranger.

    Args:
        path: The file; it may have ``config-bytes`` (:mod:`anyloom.limits`).

    Raises:
        anyloom.errors.ConfigError: It cannot be read, is no regular file, is too large or is not UTF-8.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = (Path(folder) / "a.yaml").write_text("model: {}")
    ...     read_limited(Path(folder) / "a.yaml")
    'model: {}'
    """
    most = limit("config-bytes")
    try:
        if not os.path.isfile(path):  # a device or a pipe would never end
            raise ConfigError("there is no such file", where=str(path), fix="check the path")
        with path.open("rb") as stream:
            content = stream.read(most + 1)
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        if len(content) <= most:
            raise ConfigError("the file is not UTF-8 text", where=str(path), fix="give a text file") from error
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the path
        raise ConfigError(f"cannot be read ({error})", where=str(path), fix="check the path") from error
    if len(content) > most:
        raise ConfigError(f"the file has more than {most:,} bytes", where=str(path), fix="is it a config at all?")
    return text
