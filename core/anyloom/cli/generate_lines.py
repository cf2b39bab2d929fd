"""``anyloom generate --jsonl IN --output OUT``: answers a file of conversations, and goes on where it was cut off.

Each line of ``IN`` is a conversation, ``{"messages": [...]}`` with anything beside it. ``OUT/answers.jsonl`` gets a
line for each, in order: the conversation with its answer, what stood beside it, the line's ``index`` from 0, and
``asked``, a hash of the line, the model and the options. Media lie beside it, ``000012-000.png`` for index 12.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from anyloom.cli.arguments import split_sources
from anyloom.cli.asking import choices_of, media_rules
from anyloom.cli.console import note
from anyloom.cli.model_argument import load_named_model, placed
from anyloom.cli.outputs import own_folder
from anyloom.errors import ConfigError, ConversationError
from anyloom.storage.json_text import json_value

if TYPE_CHECKING:
    from anyloom.conversation import Conversation

__all__ = ["answer_lines"]

_BATCH: Final = 8
_MOST_BYTES: Final = 32_000_000
_RESULT: Final = "answers.jsonl"
_MEDIUM: Final = re.compile(r"(\d{6,})-\d{3}\.\w+")


def answer_lines(options: argparse.Namespace) -> int:
    """Answer the lines of ``options.jsonl`` that have no answer yet; see :func:`anyloom.cli.generate.main`."""
    file: Path = options.jsonl
    if options.segments or options.conversation is not None:
        fix = "leave --text, --media and --conversation out"
        raise ConversationError("a file of conversations is asked as it is", where="--jsonl", fix=fix)
    if not os.path.isfile(file):
        raise ConversationError("there is no such file", where=str(file), fix="check the path")
    with own_folder(options.output) as folder:
        return _answer_lines(options, file, folder)


def _answer_lines(options: argparse.Namespace, file: Path, folder: Path) -> int:
    total = sum(1 for _ in _lines(file))
    sources = split_sources(options)
    named = load_named_model(sources, untrained=options.untrained)
    model = placed(named.model, options.device, options.dtype, offload=options.offload)
    rules, choices = media_rules(options, model), choices_of(options, model)
    weights = str((named.folder or Path(named.name)).resolve())
    how = [weights, sources.overrides, rules, choices, options.seed, options.dtype]
    done = _answered(folder, file, how)
    _drop_unfinished(folder, done)
    note(f"{done} of {total} are answered already" if done else f"{total} conversations")
    from anyloom.replay.noting import with_notes
    from anyloom.replay.record import made_by

    maker = made_by(model, named.recipe or named.name, named.folder, sources.overrides)
    waiting = islice(_lines(file), done, None)
    while batch := list(islice(waiting, _BATCH)):
        asked = [_conversation(raw, f"{file}:{number}", file.parent, options.anywhere) for _, number, raw in batch]
        seeds = [options.seed + index for index, _, _ in batch]
        answers = model.generate([conversation for conversation, _ in asked], media=rules, seed=seeds, **choices)
        assert isinstance(answers, list)
        if options.metadata:
            answers = [
                with_notes(conversation, answer, maker, seed, media=rules, **choices)
                for (conversation, _), answer, seed in zip(asked, answers, seeds)
            ]
        _append(folder, batch, asked, answers, how)
        done += len(batch)
        note(f"answered {done} of {total}")
    print(f"answers: {folder / _RESULT}")
    return 0


def _lines(file: Path) -> Iterator[tuple[int, int, bytes]]:
    """Index, number and bytes of each line that is not empty. Lines end with a line feed alone, as JSON Lines says.

    Raises:
        anyloom.errors.ConversationError: A line is longer than any conversation, or the file cannot be read.
    """
    with _readable(file) as stream:
        index = number = 0
        while line := stream.readline(_MOST_BYTES + 1):
            number += 1
            if len(line) > _MOST_BYTES:
                where = f"{file}:{number}"
                raise ConversationError(f"the line has more than {_MOST_BYTES:,} bytes", where=where, fix="split it")
            if line.strip():
                yield index, number, line.strip()
                index += 1


@contextmanager
def _readable(file: Path) -> Iterator[BinaryIO]:
    """A file that is open; what happens while it is read is named."""
    try:
        with file.open("rb") as stream:
            yield stream
    except OSError as error:
        raise ConversationError(f"cannot be read ({error.strerror})", where=str(file), fix="check the path") from error


def _conversation(raw: bytes, where: str, root: Path, anywhere: bool) -> tuple[Conversation, dict[str, Any]]:
    """The conversation of a line, and what stands beside it."""
    from anyloom.media import conversation_from_json

    try:
        value = json_value(raw)
    except ValueError as error:
        raise ConversationError(f"not JSON ({error})", where=where, fix="write one conversation a line") from error
    conversation = conversation_from_json(value, root=root, where=where, anywhere=anywhere)
    if conversation.messages[-1].role == "assistant":
        raise ConversationError("the conversation ends with an answer", where=where, fix="end it with a question")
    return conversation, {k: v for k, v in value.items() if k != "messages"} if isinstance(value, dict) else {}


def _asked(raw: bytes, how: list[Any]) -> str:
    return hashlib.sha256(raw + json.dumps(how, sort_keys=True).encode()).hexdigest()


def _answered(folder: Path, file: Path, how: list[Any]) -> int:
    """How many lines have their answers. A line that was cut off while it was written is taken away.

    Raises:
        anyloom.errors.ConfigError: The answers there are for other lines, another model or other options.
    """
    result = folder / _RESULT
    if not result.exists():
        return 0
    content = result.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    lines = whole.split(b"\n")[:-1]
    for count, (line, (_, _, raw)) in enumerate(zip(lines, _lines(file))):
        try:
            same = json_value(line)["asked"] == _asked(raw, how)
        except (ValueError, KeyError, TypeError):
            same = False
        if not same:
            what = f"line {count + 1} answers another question, or by another model or with other options"
            raise ConfigError(what, where=str(result), fix="give another --output")
    if len(lines) > sum(1 for _ in _lines(file)):
        raise ConfigError("has more answers than there are questions", where=str(result), fix="give another --output")
    if whole != content:
        with result.open("rb+") as stream:
            stream.truncate(len(whole))
    return len(lines)


def _drop_unfinished(folder: Path, done: int) -> None:
    """Take away media of answers whose line was never written: a repeated run would not use their names again."""
    for path in folder.iterdir() if (folder / _RESULT).exists() else ():
        found = _MEDIUM.fullmatch(path.name)
        if found and int(found[1]) >= done:
            path.unlink()


def _append(folder: Path, batch: Any, asked: Any, answers: Any, how: list[Any]) -> None:
    """Write the lines of a batch at once, and see them on disk before the next one begins."""
    from anyloom.media.answers import answer_json

    (folder / _RESULT).touch()
    lines = []
    for (index, _, raw), (conversation, beside), answer in zip(batch, asked, answers):
        value, _ = answer_json(conversation, answer, folder, f"{index:06d}")
        record = {**beside, **value, "index": index, "asked": _asked(raw, how)}
        lines.append(json.dumps(record, ensure_ascii=False) + "\n")
    try:
        with (folder / _RESULT).open("ab") as stream:
            stream.write("".join(lines).encode())
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as error:
        what = f"cannot be written ({error.strerror})"
        fix = "make room; the same command goes on where it stopped"
        raise ConfigError(what, where=str(folder / _RESULT), fix=fix) from error
