"""Where on this machine things are kept that can be made again."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["cache_folder"]


def cache_folder(kind: str) -> Path:
    """The folder of one kind of things, which need not be there: ``$XDG_CACHE_HOME/anyloom/KIND``.

    Without that variable it is in ``~/.cache``, as the XDG Base Directory Specification has it.

    >>> cache_folder("index").parts[-2:]
    ('anyloom', 'index')
    """
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "anyloom" / kind
