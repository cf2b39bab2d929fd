"""Which modality reads a file, by what the plugins' records say: no plugin's class is imported to find out."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from anyloom.discovery import ComponentSpec, get_registry
from anyloom.errors import MediaError

__all__ = ["modality_of", "split_modality"]

_SIGNATURE_BYTES: Final = 64
_ANY: Final = ord("?")


def modality_of(path: Path) -> str:
    """Return the name of the modality that reads a file: the one that claims its suffix, else its first bytes.

    Args:
        path: The file; it is opened only if nobody claims its suffix.

    Raises:
        anyloom.errors.MediaError: No modality claims it, or several do.

    >>> modality_of(Path("Hat.PNG")) == modality_of(Path("hat.jpg"))
    True
    """
    specs = get_registry().components("modality")
    fitting = {spec: _longest(spec.suffixes, path.name.lower()) for spec in specs}
    claims = _best(fitting) or _best({spec: _begins(spec, _first_bytes(path)) for spec in specs})
    if not claims and not path.suffix and not os.path.exists(path):  # a word that was taken for a path
        raise MediaError("there is no such file", where=str(path), fix="check the path", reason="missing")
    if not claims:
        known = ", ".join(sorted({suffix for spec in specs for suffix in spec.suffixes}))
        raise MediaError(
            f"no installed modality reads {path.suffix or 'files without a suffix'}",
            where=str(path),
            fix=f"convert it to one of {known}, or name the modality",
        )
    if len(claims) > 1:
        who = " and ".join(f"{spec.name!r} of {spec.package} {spec.version}" for spec in claims)
        raise MediaError(
            f"{len(claims)} modalities read this file: {who}",
            where=str(path),
            fix=f"name one of them, such as {claims[0].name}:{path.name} on the command line",
        )
    return claims[0].name


def split_modality(text: str) -> tuple[str | None, Path]:
    """Split ``MODALITY:FILE``. A file that is called so is meant as a whole.

    Args:
        text: A path, or a path after the name of a modality that is installed and a colon.

    >>> name, path = split_modality("hat.png")
    >>> name is None, path.name
    (True, 'hat.png')
    """
    name, colon, rest = text.partition(":")
    if colon and rest and get_registry().provides("modality", name) and not Path(text).exists():
        return name, Path(rest)
    return None, Path(text)


def _longest(suffixes: Iterable[str], name: str) -> int:
    return max((len(suffix) for suffix in suffixes if name.endswith(suffix)), default=0)


def _begins(spec: ComponentSpec, start: bytes) -> int:
    """Length of the record's longest signature that the bytes begin with, wildcards not counted; 0 for none."""
    fitting = [s for s in spec.signatures if len(start) >= len(s) and all(a in (b, _ANY) for a, b in zip(s, start))]
    return max((len(s) - s.count(b"?") for s in fitting), default=0)


def _best(lengths: dict[ComponentSpec, int]) -> list[ComponentSpec]:
    """The records with the greatest length that is not zero."""
    most = max(lengths.values(), default=0)
    return [spec for spec, length in lengths.items() if length == most > 0]


def _first_bytes(path: Path) -> bytes:
    try:
        if not path.is_file():  # a pipe would wait for somebody to write
            return b""
        with path.open("rb") as file:
            return file.read(_SIGNATURE_BYTES)
    except (OSError, ValueError):  # missing, unreadable, or no name of a file: who opens it to read says so
        return b""
