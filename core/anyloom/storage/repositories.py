"""Folders of published weights: on this machine, or in a repository on the Hugging Face hub that the user names."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from anyloom.errors import CheckpointError

__all__ = ["fetch", "is_repository", "names_repository"]

_ALLOW: Final = "set download: true (download=True in Python)"
_TRIES: Final = 8
_FIRST_WAIT: Final = 0.5
_LONGEST_WAIT: Final = 8.0
"""Seconds; each wait is twice the one before, and up to a half shorter, so that many machines do not ask together."""


def is_repository(source: str) -> bool:
    """Whether ``source`` names a hub repository rather than a folder: ``owner/name`` and no such folder.

    >>> is_repository("nobody/nothing-at-all"), is_repository("./nobody/nothing-at-all")
    (True, False)
    """
    return names_repository(source) and not Path(source).exists()


def names_repository(name: str) -> bool:
    """Whether a text has the form of a repository's name.

    >>> names_repository("owner/model"), names_repository("../model"), names_repository("owner/model/part")
    (True, False, False)
    """
    return re.fullmatch(r"[\w-][\w.-]{0,95}/[\w.-]{1,96}", name) is not None


def fetch(source: str, patterns: Sequence[str], *, download: bool) -> Path:
    """The folder ``source``, or the local copy of that repository's files of some patterns.

    A hub that is busy or fails, and connections that break off, are asked again up to seven times, in half a minute; a
    file goes on from where it broke off.

    Args:
        source: Folder, or ``owner/name`` of a repository.
        patterns: Which files are wanted, as shell patterns; pickled weights are never fetched.
        download: Whether the network may be asked; otherwise only what is on this machine counts.

    Raises:
        anyloom.errors.CheckpointError: The repository is not on this machine and is not to be, or cannot be, fetched.
    """
    if not is_repository(source):
        return Path(source)
    tries = _TRIES if download else 1
    for attempt in range(tries):
        try:
            return _snapshot(source, patterns, download=download)
        except Exception as error:
            if not _is_transient(error) and not isinstance(error, OSError | ValueError):
                raise
            if _is_transient(error) and attempt + 1 < tries:
                time.sleep(min(_FIRST_WAIT * 2**attempt, _LONGEST_WAIT) * random.uniform(0.5, 1.0))
                continue
            reason = (str(error) or type(error).__name__).strip().splitlines()[0]
            what, fix = "the repository is not on this machine", "set download: true (download=True in Python)"
            if download:
                what, fix = (
                    f"the repository cannot be fetched ({reason})",
                    "look at the name, 'hf auth whoami' and the network",
                )
            raise CheckpointError(what, where=source, fix=f"{fix}, or give a folder") from error
    raise AssertionError("the last try returns or raises")


def _snapshot(source: str, patterns: Sequence[str], *, download: bool) -> Path:
    from huggingface_hub import snapshot_download

    local = snapshot_download(
        source, allow_patterns=list(patterns), ignore_patterns=["*.bin"], local_files_only=not download
    )
    return Path(local)


def _is_transient(error: BaseException | None) -> bool:
    """Whether what went wrong may go well the next time: a busy or failing server, or a connection that broke off.

    A server that cannot be reached at all is not: then there is most likely no network.
    """
    while error is not None:
        status = getattr(getattr(error, "response", None), "status_code", 0)
        names = {
            cls.__name__ for cls in type(error).__mro__
        }  # huggingface_hub's own client may be any release of httpx
        if status in (408, 429) or status >= 500 or ("TransportError" in names and "ConnectError" not in names):
            return True
        error = error.__cause__ or error.__context__
    return False
