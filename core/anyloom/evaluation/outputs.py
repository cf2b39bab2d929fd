"""What another program has made: a folder of media, or a list that says which file or text answers what.

======================  ============================================================================================
``FOLDER``              Media files and ``.txt``; the path below the folder without its suffix is the answer's name.
                        A ``.json`` file with a ``description`` is a text (CoBSAT).
``FILE.jsonl``,         One record an answer: its name is ``key``, ``name``, ``id``, ``question_id`` or ``index``; the
``FILE.json``           answer is ``prediction`` (VL-ICL), ``messages`` (the last of the assistant), or ``content``,
                        ``response``, ``output``, ``answer``: a text or a list of parts.
``FILE.csv``            The same columns; a column called like a modality, or ``<modality>_path``, names a file.
======================  ============================================================================================

Paths in a list start from the list's folder and stay in it.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

from anyloom.conversation.segments import Message
from anyloom.discovery import get_registry
from anyloom.errors import AnyloomError, ConfigError, MediaError
from anyloom.media.chat_json import conversation_from_json
from anyloom.media.claims import modality_of
from anyloom.media.files import read_media
from anyloom.storage.json_text import json_value

__all__ = ["Output", "Outputs", "natural", "read_outputs"]

_NAMES: Final = ("key", "name", "id", "question_id", "index")
_ANSWERS: Final = ("prediction", "messages", "content", "response", "output", "answer", "text")
_LIST: Final = "answers.jsonl"
_LARGEST: Final = 1 << 30
_LARGEST_TEXT: Final = 1 << 24
_LONGEST_NAME: Final = 1000


@dataclass(frozen=True)
class Output:
    """One answer that another program made.

    Args:
        name: What the program calls it.
        where: File or line, for people.
        answer: The answer; media are opened when they are looked at.

    >>> Output("0001", "answers/0001.txt", Message("assistant", "yes?")).answer.text
    'yes?'
    """

    name: str
    where: str
    answer: Message


@dataclass
class Outputs:
    """All answers in a place.

    Args:
        found: The answers, in natural order of their names.
        unreadable: Why, by file or line, an answer cannot be read.
        ignored: Files that are no answers.

    >>> Outputs(unreadable={"a.png": "this is no PNG"}).found
    []
    """

    found: list[Output] = field(default_factory=list)
    unreadable: dict[str, str] = field(default_factory=dict)
    ignored: list[str] = field(default_factory=list)


def read_outputs(place: Path) -> Outputs:
    """Read the answers of another program; see the module for what is understood.

    Args:
        place: A folder, or a file that lists answers. A folder with ``answers.jsonl`` is read by that list.

    Raises:
        anyloom.errors.ConfigError: There is nothing, or nothing that is understood.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = (Path(folder) / "0001.txt").write_text("yes?")
    ...     [(one.name, one.answer.text) for one in read_outputs(Path(folder)).found]
    [('0001', 'yes?')]
    """
    listing = place / _LIST if (place / _LIST).is_file() else place
    outputs = Outputs()
    if listing.is_dir():
        _read_folder(listing, outputs)
    elif listing.is_file():
        for where, record in _records(listing):
            _take(outputs, where, partial(_of_record, record, listing.parent, where))
    else:
        raise ConfigError("there is no such folder or file", where=str(place), fix="check the path")
    if not outputs.found and not outputs.unreadable:
        raise ConfigError("there are no answers", where=str(place), fix="give a folder of media, or a list of answers")
    outputs.found.sort(key=lambda output: natural(output.name))
    return outputs


def natural(name: str) -> list[tuple[int, str]]:
    """Sort key that puts 2 before 10.

    >>> sorted(["a10", "a2"], key=natural)
    ['a2', 'a10']
    """
    parts = re.split(r"([0-9]{1,18})", name)  # every second one is a number
    return [(int(part), "") if n % 2 else (-1, part) for n, part in enumerate(parts)]


def _take(outputs: Outputs, where: str, read: Callable[[], Output | None]) -> None:
    """Add what can be read; tell what cannot, and what is no answer."""
    try:
        output = read()
    except AnyloomError as error:
        outputs.unreadable[where] = error.what
        return
    if output is None:
        outputs.ignored.append(where)
    else:
        outputs.found.append(output)


def _read_folder(folder: Path, outputs: Outputs) -> None:
    files = [p for p in sorted(folder.rglob("*")) if p.is_file() and not p.name.startswith(".")]
    names = {path: _shown(path.relative_to(folder).with_suffix("").as_posix()) for path in files}
    media = {names[path] for path in files if path.suffix.lower() not in (".txt", ".json") and _is_medium(path)}
    for path in files:
        beside = path.suffix.lower() == ".json" and names[path] in media  # what a program says of a medium
        if not beside:
            _take(outputs, _shown(str(path)), partial(_of_file, names[path], path, folder))


def _of_file(name: str, path: Path, folder: Path) -> Output | None:
    if not path.resolve().is_relative_to(folder.resolve()):
        raise ConfigError("a link that leads out of the folder", where=str(path))
    suffix = path.suffix.lower()
    if suffix == ".txt":
        return _said(name, path, _text_of(path).strip())
    if suffix == ".json":
        value = _parsed(_text_of(path))
        said = value.get("description") if isinstance(value, Mapping) else None
        return _said(name, path, said) if isinstance(said, str) else None
    if not _is_medium(path):
        return None
    media = read_media(path, lazy=True)
    media.tensor()  # a file that cannot be read is told here, and is read again when it is scored
    return Output(name, str(path), Message("assistant", [media]))


def _said(name: str, path: Path, text: str) -> Output:
    return Output(name, str(path), Message("assistant", [_shown(text)]))


def _text_of(path: Path) -> str:
    if path.stat().st_size > _LARGEST_TEXT:
        raise ConfigError(f"a text of more than {_LARGEST_TEXT >> 20} MiB", where=str(path))
    return _decoded(path)


def _decoded(path: Path) -> str:
    """The text without a byte order mark, as Excel and Windows write one.

    Raises:
        anyloom.errors.ConfigError: It is not UTF-8: what its characters mean would be a guess.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"not UTF-8 ({error.reason})", where=str(path), fix="save it as UTF-8") from error


def _shown(text: str) -> str:
    """A text that can be printed and written: names of files and escapes in JSON may hold half characters."""
    return text.encode("utf-8", "replace").decode()


def _is_medium(path: Path) -> bool:
    try:
        modality_of(path)
    except (MediaError, OSError):
        return False
    return True


def _records(path: Path) -> Iterator[tuple[str, Any]]:
    if path.stat().st_size > _LARGEST:
        raise ConfigError("a list of answers of more than 1 GiB", where=str(path), fix="cut it into several")
    suffix = path.suffix.lower()
    values: list[tuple[int, Any]]
    if suffix == ".jsonl":
        lines = path.read_bytes().removeprefix(codecs.BOM_UTF8).split(b"\n")
        values = [(n, _parsed(line)) for n, line in enumerate(lines, 1) if line.strip()]
    elif suffix == ".json":
        whole = _parsed(_decoded(path))
        values = list(enumerate(whole if isinstance(whole, list) else [None], 1))
    elif suffix in (".csv", ".tsv"):
        values = list(enumerate(_rows(path, _decoded(path)), 2))
    else:
        raise ConfigError("this is no list of answers", where=str(path), fix="give a folder, .jsonl, .json or .csv")
    for number, value in values:
        yield f"{path}:{number}", value


def _rows(path: Path, text: str) -> list[dict[str, Any]]:
    try:
        return list(csv.DictReader(io.StringIO(text), delimiter="\t" if path.suffix.lower() == ".tsv" else ","))
    except csv.Error as error:
        raise ConfigError(f"this is no table ({error})", where=str(path), fix="give csv in UTF-8") from error


def _parsed(text: str | bytes) -> Any:
    try:
        return json_value(text)
    except ValueError:
        return None


def _of_record(record: Any, root: Path, where: str) -> Output:
    if not isinstance(record, Mapping):
        raise ConfigError("this is no object of JSON in UTF-8", where=where)
    name = next((_shown(str(record[key])) for key in _NAMES if record.get(key) not in (None, "")), None)
    if name is None or len(name) > _LONGEST_NAME:
        raise ConfigError(
            f"a record needs one of {', '.join(_NAMES)}, of {_LONGEST_NAME} characters at most", where=where
        )
    answers = [record[key] for key in _ANSWERS if record.get(key) is not None]
    given: Any = next((answer for answer in answers if answer != ""), "" if answers else None)  # to say nothing is one
    parts = _parts_of_columns(record) if not isinstance(given, list) else []
    if isinstance(given, list) and given and isinstance(given[0], Mapping) and "role" in given[0]:
        said = [message for message in given if isinstance(message, Mapping) and message.get("role") == "assistant"]
        given = said[-1].get("content") if said else None
    content = given if isinstance(given, list) else parts or given
    if content is None:
        raise ConfigError(f"a record needs one of {', '.join(_ANSWERS)}, or a column of media", where=where)
    content = content if isinstance(content, list) else _shown(str(content))
    message = conversation_from_json([{"role": "assistant", "content": content}], root=root, where=where).messages[0]
    for media in message.media:
        media.tensor()
    return Output(name, where, message)


def _parts_of_columns(record: Mapping[str, Any]) -> list[dict[str, str]]:
    known = {spec.name for spec in get_registry().components("modality")}
    named = [(str(column).removesuffix("_path"), value) for column, value in record.items()]
    return [{"type": m, "path": value} for m, value in named if m in known and isinstance(value, str) and value]
