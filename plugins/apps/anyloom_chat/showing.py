"""``anyloom show``: what made a file, as the file itself says."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anyloom.errors import ConversationError

if TYPE_CHECKING:
    from anyloom.replay.record import Record

__all__ = ["main", "record_of"]

_SHOWN = 200
_PAGES = (".html", ".htm")


def main(arguments: Sequence[str]) -> int:
    """Run ``anyloom show`` with the words after it."""
    parser = argparse.ArgumentParser(
        prog="anyloom show",
        description="Print what made a medium, session or report, as the file says: anybody may have written it.",
    )
    parser.add_argument("file", type=Path, help="a picture, sound, clip or report, or the folder of a session")
    parser.add_argument("--json", action="store_true", help="print the whole record")
    options = parser.parse_args(list(arguments))
    if options.file.suffix.lower() in _PAGES:
        return _show_page(options.file, whole=options.json)
    record = record_of(options.file)
    if options.json:
        print(record.model_dump_json(indent=1, exclude_defaults=True))
        return 0
    for line in _lines(record):
        print(line)
    return 0


def record_of(file: Path) -> Record:
    """The record in a session's folder, in its ``session.json``, or in the note of a medium.

    Raises:
        anyloom.errors.ConversationError: There is none.
        anyloom.errors.MediaError: The file is missing, or of no known kind.
    """
    from anyloom.media import note_of
    from anyloom.replay.folder import read_record
    from anyloom.replay.record import parse

    if file.suffix.lower() in _PAGES:
        fix = "run the command that 'anyloom show' prints"
        raise ConversationError("a report is no answer of a conversation", where=str(file), fix=fix)
    if file.is_dir() or file.suffix == ".json":
        return read_record(file)
    note = note_of(file)
    if not note:
        fix = "give a file that 'anyloom generate' or 'anyloom chat' wrote; other programs drop it when they save"
        raise ConversationError("the file does not say what made it", where=str(file), fix=fix)
    return parse(note, str(file))


def _show_page(file: Path, *, whole: bool) -> int:
    from anyloom.report import read_made

    made = read_made(file)
    if whole:
        print(json.dumps(made, indent=1))
        return 0
    print(f"report: {_printable(str(made.get('title', '')))}")
    for name, value in made["environment"].items():
        print(f"{_printable(str(name))}: {_printable(str(value))}")
    return 0


def _lines(record: Record) -> Iterator[str]:
    by = record.made_by
    yield f"model: {by.model or 'not named'}"
    if by.sha256:
        yield f"weights: {by.sha256[:16]}"
    if by.overrides:
        yield f"options: {' '.join(by.overrides)}"
    yield from (f"{name}: {value}" for name, value in sorted(by.environment.items()))
    for message in record.before:
        yield f"{message.role}: {_text(message.content)}"
    for number, turn in enumerate(record.turns):
        how = "".join(f", {name} {value}" for name, value in turn.options.items())
        yield f"turn {number} (seed {turn.seed}{how})"
        yield f"  user: {_text(turn.question)}"
        yield f"  assistant: {_text(turn.answer)}"
    if record.segment is not None:
        yield f"this file: segment {record.segment} of the last answer"


def _text(parts: Sequence[dict[str, Any]]) -> str:
    shown = (part.get("text") or f"[{part.get('type')} {part.get('path', '')}]" for part in parts)
    line = " ".join(" ".join(str(text).split()) for text in shown)
    return _printable(line)


def _printable(line: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in line[:_SHOWN])
