"""How large a configuration may be. A stranger's file must not take the memory or the time of who opens it.

The largest recipe that ships has 12 kB and 9 levels; the limits leave a factor of thirty and of seven.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from anyloom.errors import ConfigError

__all__ = ["MAX_BYTES", "MAX_DEPTH", "MAX_SIZE", "read_limited"]

MAX_BYTES: Final = 400_000
"""Bytes of one file of a config."""

MAX_DEPTH: Final = 64
"""Levels of mappings and lists within each other, and parts of a dotted key."""

MAX_SIZE: Final = 2_000_000
"""Size of a whole config: its characters and ten for every value, with every alias and interpolation written out."""


def read_limited(path: Path, most: int = MAX_BYTES) -> str:
    """Read a text file that may come from a stranger.

    Args:
        path: The file.
        most: Bytes it may have.

    Raises:
        anyloom.errors.ConfigError: It cannot be read, is no regular file, is too large or is not UTF-8.
    """
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
