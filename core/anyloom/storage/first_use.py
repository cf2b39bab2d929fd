"""Files of others get their SHA-256 when they are first used; when they have changed later, that is said.

A folder of published weights has no list of its files that could be trusted, so what it held the first time is kept, in
the cache folder of the user. A file whose size and time have not changed is not read again.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

from anyloom.errors import AnyloomError, CheckpointError, ConfigError
from anyloom.storage.atomic import write_text
from anyloom.storage.caches import cache_folder
from anyloom.storage.hashes import sha256
from anyloom.storage.json_text import read_json

__all__ = ["POLICY_VARIABLE", "check_first_use", "forget", "known_folder"]

POLICY_VARIABLE: Final = "ANYLOOM_CHANGED_FILES"
"""Environment variable: what to do about a file that is not the one that was first used. ``note`` says so and takes the
new one for known, ``refuse`` is an error, ``ignore`` keeps no hashes."""

_POLICIES: Final = ("note", "refuse", "ignore")


def check_first_use(paths: Iterable[Path]) -> list[str]:
    """Compare files with what they were when they were first used here, or keep what they are.

    Args:
        paths: Files, and folders with everything in them. What is not there is passed over.

    Returns:
        A line for each path of which something has changed.

    Raises:
        anyloom.errors.CheckpointError: A file has changed, and the policy is ``refuse``.
    """
    policy = _policy()
    if policy == "ignore" or os.environ.get("LOCAL_RANK", "0") != "0":
        return []
    notes: list[str] = []
    for path in paths:
        files = sorted(f for f in path.rglob("*") if f.is_file()) if path.is_dir() else [path]
        notes += _check(path.absolute(), [f for f in files if f.is_file()], policy)
    return notes


def forget(path: Path) -> None:
    """Keep nothing of a folder or file that this program writes itself."""
    with suppress(OSError):
        _kept(path.absolute()).unlink(missing_ok=True)


def known_folder() -> Path:
    """Where hashes are kept."""
    return cache_folder("first-use")


def _kept(path: Path) -> Path:
    return known_folder() / f"{blake2b(os.fsencode(path), digest_size=16).hexdigest()}.json"


def _check(path: Path, files: list[Path], policy: str) -> list[str]:
    kept = _kept(path)
    known = _read(kept)
    now = {str(file): _entry(file, known.get(str(file))) for file in files}
    changed = [name for name, entry in now.items() if name in known and known[name]["sha256"] != entry["sha256"]]
    notes: list[str] = []
    if changed:
        what = f"it is not the file that was first used here on {known[changed[0]]['since']} (its SHA-256 differs)"
        fix = f"put the old file back; or if you changed it, delete {kept}"
        error = CheckpointError(what, where=changed[0], fix=fix)
        if policy == "refuse":
            raise error
        notes.append(f"{changed[0]}: {what}")
    if now != known and files:
        with suppress(AnyloomError):  # a home that cannot be written to keeps nothing
            write_text(kept, json.dumps(now, indent=1) + "\n")
    return notes


def _entry(file: Path, known: dict[str, Any] | None) -> dict[str, Any]:
    status = file.stat()
    place = [status.st_size, status.st_mtime_ns, status.st_ino]
    if known is not None and known["place"] == place:
        return known
    digest = sha256(file)
    since = known["since"] if known is not None and known["sha256"] == digest else time.strftime("%Y-%m-%d")
    return {"place": place, "sha256": digest, "since": since}


def _read(kept: Path) -> dict[str, dict[str, Any]]:
    try:
        table = read_json(kept)
        return {str(name): {k: entry[k] for k in ("place", "sha256", "since")} for name, entry in table.items()}
    except (CheckpointError, KeyError, TypeError):
        return {}


def _policy() -> str:
    policy = os.environ.get(POLICY_VARIABLE, "note")
    if policy not in _POLICIES:
        raise ConfigError(f"{policy!r} is no policy", where=POLICY_VARIABLE, fix=f"use one of {', '.join(_POLICIES)}")
    return policy
