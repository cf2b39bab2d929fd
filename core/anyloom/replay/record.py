"""The record of a conversation: which model, with what, was asked what, and how; and what it answered.

A turn depends on everything before it, also on what was taken back: what the cache holds decides how sums are
grouped. So the record keeps all turns that were answered in their order, and where each of them stood.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from anyloom.conversation.segments import Media, Message
from anyloom.discovery import get_registry
from anyloom.errors import ConversationError
from anyloom.evaluation.environment import environment
from anyloom.generation.options import GenerationOptions
from anyloom.network.network import Network
from anyloom.replay.parts import given_parts, made_parts, read_message
from anyloom.storage.hashes import inside, sha256
from anyloom.storage.json_text import json_value

__all__ = ["MadeBy", "Record", "Said", "Turn", "answered", "made_by", "new_record", "note_for", "parse", "prior"]

_MOST_TURNS: Final = 10_000
_LONGEST_NOTE: Final = 900_000
"""Characters of a note in a medium's file; media that were given are left out of a longer one."""

_STRICT: Final = ConfigDict(extra="forbid", frozen=True)


class MadeBy(BaseModel):
    """What answered.

    Args:
        model: What the user called it.
        sha256: Of its ``config.json``, which lists its files with theirs; empty if it was not saved.
        overrides: What of its options was changed.
        environment: Versions of libraries and plugins, processor, threads, by name.

    >>> MadeBy(model="mini").overrides
    ()
    """

    model_config = _STRICT

    model: str = ""
    sha256: str = ""
    overrides: tuple[str, ...] = ()
    environment: dict[str, str] = Field(default_factory=dict)


class Said(BaseModel):
    """One message as parts; see :mod:`anyloom.replay.parts`.

    >>> Said(role="user", content=({"type": "text", "text": "hello"},)).role
    'user'
    """

    model_config = _STRICT

    role: Literal["system", "user", "assistant"]
    content: tuple[dict[str, Any], ...]


class Turn(BaseModel):
    """A question and its answer.

    Args:
        at: How many messages stood before the question.
        seed: What the answer drew from.
        anew: Whether everything before was read anew, so that nothing of earlier turns was in the cache.
        reopened: Whether the session had just been read from its folder, so that earlier answers are what their files
            hold: pixels of 8 bits, say.
        given: Whether the answer was given too, as an example, and not made.
        cut: Whether the answer went on: its beginning was sent, with this record in it, before it was over.
        options: How to answer, as :class:`anyloom.generation.options.GenerationOptions` has them.
        question: Parts of the question.
        answer: Parts of the answer.

    >>> Turn(at=0, seed=7, question=({"type": "text", "text": "hello"},), answer=()).given
    False
    """

    model_config = _STRICT

    at: int = Field(ge=0, le=2 * _MOST_TURNS)
    seed: int = Field(ge=-(2**63), lt=2**64)
    anew: bool = True
    reopened: bool = False
    given: bool = False
    cut: bool = False
    options: dict[str, Any] = Field(default_factory=dict)
    question: tuple[dict[str, Any], ...]
    answer: tuple[dict[str, Any], ...]


class Record(BaseModel):
    """A conversation and what made it.

    Args:
        anyloom_record: Version of this form.
        made_by: What answered.
        seed: Of the session; the next turns draw from it.
        before: Messages before the first turn.
        turns: All turns in the order in which they were answered.
        standing: How many messages stand now; turns after them were taken back. None: as the last turn left it.
        segment: In the note of a medium, which segment of the last answer it is.
        files: In a note, media that were given, by path, in base64.

    >>> new_record(MadeBy(model="mini"), seed=7).seed
    7
    """

    model_config = ConfigDict(extra="forbid")

    anyloom_record: Literal[1]
    made_by: MadeBy = Field(default_factory=MadeBy)
    seed: int = 0
    before: tuple[Said, ...] = ()
    turns: list[Turn] = Field(default_factory=list, max_length=_MOST_TURNS)
    standing: int | None = Field(None, ge=0)
    segment: int | None = Field(None, ge=0)
    files: dict[str, str] = Field(default_factory=dict)

    def messages(self, root: Path, where: str, turns: int | None = None) -> list[Message]:
        """The conversation as it stands, or as it stood after some turns.

        Args:
            root: Folder of its media.
            where: Name of the record, for errors.
            turns: How many turns to follow; all by default.

        Raises:
            anyloom.errors.AnyloomError: A medium is missing or is another than it was, or the record makes no sense.
        """
        messages = [read_message(m.role, m.content, root, f"{where}: before") for m in self.before]
        for number, turn in enumerate(self.turns[:turns]):
            if turn.at > len(messages):
                what = f"turn {number} stands after {turn.at} messages, but there are {len(messages)}"
                raise ConversationError(what, where=where, fix="take the record as it was written")
            place = f"{where}: turn {number}"
            asked = read_message("user", turn.question, root, place)
            messages[turn.at :] = [asked, read_message("assistant", turn.answer, root, place)]
        return messages[: self.standing] if turns is None else messages

    def media(self, folder: Path) -> dict[str, Media]:
        """All media below a folder that its parts name, by path."""
        said = [m.content for m in self.before] + [parts for t in self.turns for parts in (t.question, t.answer)]
        named = [part for parts in said for part in parts if inside(str(part.get("path", "")))]
        return {p["path"]: Media(str(p.get("type")), path=str(folder / p["path"])) for p in named}


def made_by(network: Network, model: str, folder: Path | None, overrides: Sequence[str] = ()) -> MadeBy:
    """What answers here.

    Args:
        network: The model.
        model: What the user called it.
        folder: Where it is saved, if it is.
        overrides: What of its options was changed.
    """
    some = next(network.parameters())
    versions = {**environment(), "Device": some.device.type, "Precision": str(some.dtype).removeprefix("torch.")}
    for package in {spec.package for spec in get_registry().components()}:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:  # a package of a distribution with another name
            continue
    digest = sha256(folder / "config.json") if folder is not None else ""
    return MadeBy(model=model, sha256=digest, overrides=tuple(overrides), environment=versions)


def answered(
    question: Message,
    answer: Message,
    *,
    at: int,
    seed: int,
    options: GenerationOptions,
    anew: bool = True,
    reopened: bool = False,
    cut: bool = False,
) -> tuple[Turn, dict[str, Media], dict[str, Media]]:
    """A turn of a record.

    Returns:
        The turn; media that were given and media that were made, by the path that its parts name.

    >>> asked, said = Message("user", "hello"), Message("assistant", "yes?")
    >>> turn = answered(asked, said, at=0, seed=7, options=GenerationOptions())[0]
    >>> turn.question
    ({'type': 'text', 'text': 'hello'},)
    """
    asked, given = given_parts(question.segments)
    said, made = made_parts(answer.segments)
    chosen = options.model_dump(mode="json", exclude_defaults=True)
    turn = Turn(
        at=at,
        seed=seed,
        anew=anew,
        reopened=reopened,
        cut=cut,
        options=chosen,
        question=tuple(asked),
        answer=tuple(said),
    )
    return turn, given, made


def note_for(record: Record, segment: int, given: Mapping[str, Media]) -> str:
    """What the file of a medium says about what made it.

    Args:
        record: Up to the answer that it stands in.
        segment: Which segment of that answer it is.
        given: Media that were given in any turn, and those that were read from files again, by path.
    """
    used = record.model_copy(update={"segment": segment, "standing": None})
    files = {path: base64.b64encode(Path(m.path).read_bytes()).decode() for path, m in given.items() if m.path}
    note = used.model_copy(update={"files": files}).model_dump_json(exclude_defaults=True)
    return note if len(note) <= _LONGEST_NOTE else used.model_dump_json(exclude_defaults=True)


def new_record(made_by: MadeBy, *, seed: int = 0, before: tuple[Said, ...] = ()) -> Record:
    """A record without turns.

    >>> new_record(MadeBy(model="mini"), seed=7).turns
    []
    """
    return Record(anyloom_record=1, made_by=made_by, seed=seed, before=before)


def parse(text: str | bytes, where: str) -> Record:
    """Read a record.

    Raises:
        anyloom.errors.ConversationError: It is none.

    >>> parse('{"anyloom_record": 1, "seed": 7}', "session.json").seed
    7
    >>> try:
    ...     parse("[]", "session.json")
    ... except ConversationError as error:
    ...     print(error.where)
    session.json
    """
    try:
        return Record.model_validate(json_value(text))
    except ValueError as error:
        first = error.errors()[0] if isinstance(error, ValidationError) else {"loc": (), "msg": str(error)}
        place = ".".join(str(step) for step in first["loc"])
        what = f"this is no record of a conversation ({place + ': ' if place else ''}{first['msg']})"
        raise ConversationError(what, where=where, fix="take it as 'anyloom chat' or 'generate' wrote it") from error


def prior(messages: Sequence[Message]) -> tuple[tuple[Said, ...], dict[str, Media]]:
    """Messages as parts, and the media in them by path.

    >>> said, media = prior([Message("user", "hello")])
    >>> said[0].role, media
    ('user', {})
    """
    before: list[Said] = []
    given: dict[str, Media] = {}
    for message in messages:
        parts, media = given_parts(message.segments)
        before.append(Said(role=message.role, content=tuple(parts)))
        given |= media
    return tuple(before), given
