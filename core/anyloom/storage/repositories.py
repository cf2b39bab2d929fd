"""Folders of published weights: on this machine, or in a repository on the Hugging Face hub that the user names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from anyloom.errors import CheckpointError

__all__ = ["fetch", "is_repository", "names_repository"]


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
        if download:
            reason = str(error).strip().splitlines()[0]
            fix = "look at the name, 'hf auth whoami' and the network, or give a folder"
            raise CheckpointError(f"the repository cannot be fetched ({reason})", where=source, fix=fix) from error
        fix = "set download: true (download=True in Python), or give a folder"
        raise CheckpointError("the repository is not on this machine", where=source, fix=fix) from error
    return Path(local)
