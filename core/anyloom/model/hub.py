"""Models in repositories of the Hugging Face hub. Token and address are those of huggingface_hub."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from anyloom.errors import ConfigError
from anyloom.storage.repositories import fetch, is_repository

__all__ = ["FILES", "fetched", "push"]

FILES: Final = ("*.json", "*.safetensors", "*.jinja", "*.txt", "*.model", "README.md")
"""What a saved model consists of; nothing else of a repository is fetched."""


def push(folder: Path, repository: str, *, private: bool = True) -> str:
    """Put the folder of a model into a repository of the Hugging Face hub, as one commit.

    Args:
        folder: A saved model with its card.
        repository: ``owner/name``.
        private: Make it private if it is new.

    Returns:
        The address of the commit.

    Raises:
        anyloom.errors.ConfigError: The hub cannot be reached or refuses.
    """
    from huggingface_hub import HfApi

    api = HfApi(library_name="anyloom")
    try:
        api.create_repo(repository, private=private, exist_ok=True)
        return str(
            api.upload_folder(repo_id=repository, folder_path=folder, commit_message="Model of anyloom").commit_url
        )
    except (OSError, ValueError) as error:  # what huggingface_hub raises is one of them
        reason = str(error).strip().splitlines()[0]
        fix = "look at the name, 'hf auth whoami' and the network"
        raise ConfigError(f"the hub did not take it: {reason}", where=f"push to {repository}", fix=fix) from error


def fetched(model: str | Path, *, download: bool) -> Path | None:
    """The local copy of a repository ``owner/name``; None for what names no repository.

    Args:
        model: What the user named; a folder that exists wins.
        download: Whether the network may be asked; otherwise only what was fetched before counts.

    Raises:
        anyloom.errors.CheckpointError: The repository cannot be fetched.

    >>> fetched("runs", download=False) is None
    True
    """
    return fetch(str(model), FILES, download=download) if is_repository(str(model)) else None
