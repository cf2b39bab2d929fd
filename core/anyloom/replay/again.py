"""Making answers again, turn by turn, and saying which differ."""

from __future__ import annotations

import base64
import binascii
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from anyloom.conversation.segments import Media, Message, Text
from anyloom.errors import ConversationError
from anyloom.generation.session import Session
from anyloom.network.network import Network
from anyloom.replay.parts import content_hash, read_message, tensor_from_json
from anyloom.replay.record import MadeBy, Record, Turn
from anyloom.storage.hashes import inside

__all__ = ["Replayed", "differences_of_makers", "replay", "unpacked"]


@dataclass(frozen=True)
class Replayed:
    """One turn, answered again.

    Args:
        number: Of the turn, from 0.
        answer: The new answer.
        differences: What is not as it was, one line each; empty if all is equal to the last bit.

    >>> Replayed(0, Message("assistant", "yes?"), differences=()).differences
    ()
    """

    number: int
    answer: Message
    differences: tuple[str, ...]


def replay(network: Network, record: Record, root: Path, where: str) -> Iterator[Replayed]:
    """Answer every turn of a record again, in its order; those that were given are read and not answered.

    Args:
        network: The model.
        record: What was said.
        root: Folder of the media that were given.
        where: Name of the record, for errors.

    Raises:
        anyloom.errors.AnyloomError: A medium that was given is missing or another, or the model cannot answer.
    """
    before = [read_message(m.role, m.content, root, f"{where}: before") for m in record.before]
    session = Session(network, before, seed=record.seed)
    for number, turn in enumerate(record.turns):
        if turn.at > len(session.messages):
            what = f"turn {number} stands after {turn.at} messages, but there are {len(session.messages)}"
            raise ConversationError(what, where=where, fix="take the record as it was written")
        if turn.reopened:
            session.messages = record.messages(root, where, turns=number)
        del session.messages[turn.at :]
        question = read_message("user", turn.question, root, f"{where}: turn {number}")
        if turn.given:
            session.messages += [question, read_message("assistant", turn.answer, root, f"{where}: turn {number}")]
            continue
        if turn.anew:
            session.forget()
        answer = session.say(*question.segments, seed=turn.seed, **turn.options)
        yield Replayed(number, answer, tuple(_differences(turn, answer, f"{where}: turn {number}")))


def differences_of_makers(then: MadeBy, now: MadeBy) -> list[str]:
    """What differs between who answered then and who does now, as one line each.

    >>> one = MadeBy(model="mini", environment={"torch": "2.13.0"})
    >>> differences_of_makers(one, MadeBy(model="mini", environment={"torch": "2.14.0"}))
    ['torch: 2.13.0 then, 2.14.0 now']
    """
    lines = [] if then.sha256 == now.sha256 else [f"weights: {then.sha256[:16]} then, {now.sha256[:16]} now"]
    if then.overrides != now.overrides:
        lines.append(f"options: {' '.join(then.overrides) or 'none'} then, {' '.join(now.overrides) or 'none'} now")
    for name in sorted(then.environment.keys() | now.environment.keys()):
        old, new = then.environment.get(name, "none"), now.environment.get(name, "none")
        if old != new:
            lines.append(f"{name}: {old} then, {new} now")
    return lines


@contextmanager
def unpacked(record: Record, beside: Path) -> Iterator[Path]:
    """A folder with the media that the note of a medium carries.

    Args:
        record: From the note.
        beside: Folder of the file that the note was in; used where the note carries no media.

    Raises:
        anyloom.errors.ConversationError: A name leaves the folder, or the content is not base64.
    """
    if not record.files:
        yield beside.parent if beside.name == "media" else beside
        return
    with tempfile.TemporaryDirectory() as folder:
        for name, content in record.files.items():
            if not inside(name):
                raise ConversationError(f"the name {name[:80]!r} leaves its folder", where="note")
            place = Path(folder, name)
            place.parent.mkdir(parents=True, exist_ok=True)
            try:
                place.write_bytes(base64.b64decode(content, validate=True))
            except (binascii.Error, OSError) as error:
                raise ConversationError(
                    f"the medium {name[:80]!r} cannot be unpacked ({error})", where="note"
                ) from error
        yield Path(folder)


def _differences(turn: Turn, answer: Message, where: str) -> Iterator[str]:
    count = len(answer.segments)
    if count < len(turn.answer) if turn.cut else count != len(turn.answer):
        yield f"{len(turn.answer)} segments then, {count} now"
    for number, (part, segment) in enumerate(zip(turn.answer, answer.segments)):
        kind = "text" if isinstance(segment, Text) else segment.modality
        if part.get("type") != kind:
            yield f"segment {number}: {part.get('type')} then, {kind} now"
        elif isinstance(segment, Text):
            if part.get("text") != segment.text or part.get("tokens") != _tokens(segment):
                yield f"segment {number}: text {part.get('text')!r:.80} then, {segment.text!r:.80} now"
        else:
            yield from _medium_differences(number, part, segment, where)


def _tokens(text: Text) -> list[int] | None:
    return None if text.tokens is None else list(text.tokens)


def _medium_differences(number: int, part: Mapping[str, Any], medium: Media, where: str) -> Iterator[str]:
    if "features" in part and medium.features is not None:
        then = tensor_from_json(part["features"], where)
        now = medium.features.detach().float().cpu()
        if not torch.equal(then, now):
            same = then.shape == now.shape
            far = f"by up to {(then - now).abs().max():.1e}" if same else f"{list(then.shape)}, {list(now.shape)}"
            yield f"segment {number}: features of {medium.modality} differ {far}"
    if "sha256" in part and medium.has_data and content_hash(medium) != part["sha256"]:
        yield f"segment {number}: {medium.modality} differs"
