"""A line that was typed, or dropped, as text and media in order."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from anyloom.conversation import Media, Text
from anyloom.errors import MediaError
from anyloom.media import modality_of, read_media, split_modality

__all__ = ["media_of", "segments_of"]

_WORD: Final = re.compile(r"""'[^']*'|"[^"]*"|(?:\\.|\S)+""")


def segments_of(line: str) -> list[Text | Media]:
    """Text and media of a line.

    A word that is the path of a file of a known kind becomes that medium; so does ``MODALITY:FILE``. Terminals drop
    files as quoted or escaped paths, or as ``file://`` addresses. Everything else stays text as it was typed.

    Raises:
        anyloom.errors.MediaError: A file cannot be read.

    >>> segments_of("turn it upside down")
    [Text(text='turn it upside down')]
    """
    segments: list[Text | Media] = []
    done = 0
    for found in _WORD.finditer(line):
        medium = _medium(found[0])
        if medium is None:
            continue
        if text := line[done : found.start()].strip():
            segments.append(Text(f"{text} "))
        segments.append(medium)
        done = found.end()
    if rest := line[done:].strip():
        segments.append(Text(f" {rest}" if segments else rest))
    return segments


def media_of(line: str) -> list[Media]:
    """The media of a line that holds nothing else.

    Raises:
        anyloom.errors.MediaError: A word is no file, or one that cannot be read.
    """
    found = []
    for word in _WORD.findall(line):
        medium = _medium(word)
        if medium is None:
            raise MediaError("this is no file of a known kind", where=word[:200], fix="give paths of media")
        found.append(medium)
    return found


def _medium(word: str) -> Media | None:
    path = _path(word)
    if not path or "\0" in path:
        return None
    try:
        kind, place = split_modality(path)
        if not Path(place).is_file():
            return None
        if kind is None:
            modality_of(Path(place))
    except (MediaError, OSError):
        return None  # a word of the text that happens to look like something else
    return read_media(place, kind)


def _path(word: str) -> str:
    if len(word) > 1 and word[0] == word[-1] and word[0] in "'\"":
        word = word[1:-1]
    else:
        word = re.sub(r"\\(.)", r"\1", word)
    if word.startswith("file://"):
        word = unquote(urlsplit(word).path)
    return word
