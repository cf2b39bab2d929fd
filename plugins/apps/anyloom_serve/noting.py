"""What made an answer, for its JSON and for the files of its media: conversation, segment, weights, options, seed."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from anyloom.conversation import Conversation, Media, Message
from anyloom.generation.options import GenerationOptions
from anyloom.replay.noting import with_notes
from anyloom.replay.record import MadeBy

__all__ = ["Note", "Notes", "Original"]

_PNG: Final = b"\x89PNG\r\n\x1a\n"

Original = tuple[bytes, str]
"""Bytes of a medium as it came, and the suffix of its kind."""

Note = Callable[[Message, int], Message]
"""Takes an answer and its seed; returns it with media that know what made them."""


@dataclass(frozen=True)
class Notes:
    """Writes notes for the answers of one server.

    Args:
        made_by: The model; None writes none.
        together: How many answers are made at a time at most. Sums are grouped otherwise then, so ``anyloom replay``
            names it where bits differ.
    """

    made_by: MadeBy | None
    together: int = 1

    def shown(self, seed: int) -> dict[str, Any]:
        """What the JSON of a response says.

        Args:
            seed: Of the first answer; the others count on.
        """
        by = self.made_by
        return {} if by is None else {"made_by": {"model": by.model, "sha256": by.sha256, "seed": seed}}

    def of(
        self, conversation: Conversation, originals: Mapping[str, Original], options: GenerationOptions, *, cut: bool
    ) -> Note:
        """Notes for answers to one conversation; where it does not end with a user's words there are none.

        Args:
            conversation: The prompt.
            originals: Its media as they came, by key.
            options: How it is answered.
            cut: Whether answers go on behind what notes say of them.
        """
        by = self.made_by
        if by is None or conversation.messages[-1].role != "user":
            return lambda answer, seed: answer
        maker = by.model_copy(
            update={"environment": {**by.environment, "Server": f"up to {self.together} answers at a time"}}
        )
        chosen = options.model_dump(exclude_defaults=True)

        def note(answer: Message, seed: int) -> Message:
            with tempfile.TemporaryDirectory(prefix="anyloom-") as folder:
                asked = Conversation(
                    [
                        Message(m.role, [_filed(s, originals, Path(folder)) for s in m.segments])
                        for m in conversation.messages
                    ]
                )
                return with_notes(asked, answer, maker, seed, cut=cut, **chosen)

        return note


def _filed(segment: Any, originals: Mapping[str, Original], folder: Path) -> Any:
    """A segment whose medium is a file as it came, so that a note carries those bytes."""
    if not isinstance(segment, Media) or segment.key not in originals:
        return segment
    content, suffix = originals[segment.key]
    place = folder / f"{segment.key.rpartition(':')[2]}{suffix}"
    place.write_bytes(_without_texts(content))
    return replace(segment, path=str(place))


def _without_texts(content: bytes) -> bytes:
    """A PNG without the notes in it, which would grow from turn to turn; anything else as it is."""
    if not content.startswith(_PNG):
        return content
    kept, at = [_PNG], len(_PNG)
    while at + 8 <= len(content):
        end = at + 12 + int.from_bytes(content[at : at + 4], "big")
        if content[at + 4 : at + 8] not in (b"tEXt", b"zTXt", b"iTXt"):
            kept.append(content[at:end])
        at = end
    return b"".join(kept)
