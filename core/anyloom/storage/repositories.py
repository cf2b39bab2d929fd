"""Folders of published weights: on this machine, or in a repository on the Hugging Face hub that the user names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from anyloom.errors import CheckpointError

__all__ = ["fetch", "is_repository"]


def is_repository(source: str) -> bool:
    """Whether ``source`` names a hub repository rather than a folder: ``owner/name`` and no such folder.

    >>> is_repository("nobody/nothing-at-all"), is_repository("./nobody/nothing-at-all")
    (True, False)
    """
    return not Path(source).exists() and re.fullmatch(r"[\w-][\w.-]*/[\w.-]+", source) is not None


def fetch(source: str, patterns: Sequence[str], *, download: bool) -> Path:
    """The folder ``source``, or the local copy of that repository's files of some patterns.

    Args:
        source: Folder, or ``owner/name`` of a repository.
        patterns: Which files are wanted, as shell patterns; pickled weights are never fetched.
        download: Whether the network may be asked; otherwise only what is on this machine counts.

    Raises:
        anyloom.errors.CheckpointError: The repository is not on this machine and is not to be, or cannot be, fetched.
    """
    if not is_repository(source):
        return Path(source)
    from huggingface_hub import snapshot_download

    try:
        local = snapshot_download(
            source, allow_patterns=list(patterns), ignore_patterns=["*.bin"], local_files_only=not download
        )
    except (OSError, ValueError) as error:
        raise CheckpointError(
            "the repository is not on this machine", where=source, fix="set download: true, or give a folder"
        ) from error
    return Path(local)
