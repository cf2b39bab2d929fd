"""A conversation that is kept: a session with its folder. The terminal and the page both stand on it."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anyloom.cli.model_argument import NamedModel
from anyloom.conversation import Media, Message, Text
from anyloom.errors import ConversationError
from anyloom.generation.events import Event, Finished
from anyloom.generation.options import GenerationOptions
from anyloom.generation.session import Session
from anyloom.options import validate
from anyloom.replay.folder import FILE, SessionFolder, read_record
from anyloom.replay.record import made_by, new_record

__all__ = ["Kept", "Talk"]

_FIRST, _MORE = "Apply an editing to ", "Apply the same editing to "
"""How the pairs of an example are asked for, as in the paper's exemplar editing."""


@dataclass(frozen=True)
class Kept:
    """The end of a turn.

    Args:
        message: The answer.
        files: Of its media, in order.
    """

    message: Message
    files: list[Path]


class Talk:
    """One conversation with one model, written down after every turn.

    Args:
        named: The model.
        folder: Of the session; a session that is there goes on.
        seed: Of a new session.
        overrides: What of the model's options was changed, for the record.
        notes: Write into media what made them.

    Raises:
        anyloom.errors.AnyloomError: What is in the folder is no session, or a medium of it is missing.
    """

    def __init__(
        self, named: NamedModel, folder: Path, *, seed: int = 0, overrides: Sequence[str] = (), notes: bool = True
    ) -> None:
        maker = made_by(named.model, named.recipe or named.name, named.folder, overrides)
        kept = read_record(folder) if (folder / FILE).exists() else new_record(maker, seed=seed)
        self.continued = bool(kept.turns)
        self.folder = SessionFolder(folder, kept, notes=notes)
        messages = kept.messages(folder, str(folder / FILE))
        self.session = Session(named.model, messages, seed=kept.seed)
        self.model = named.model
        self.options: dict[str, Any] = {}

    @property
    def turns(self) -> list[tuple[Message, Message]]:
        """Questions and answers that stand."""
        messages = [m for m in self.session.messages if m.role != "system"]
        return list(zip(messages[::2], messages[1::2]))

    def shown(self) -> list[tuple[str, list[str | Path]]]:
        """Who said what, in order, as it stands: texts, and files of media."""
        record = self.folder.record
        said = [(m.role, m.content) for m in record.before]
        for turn in record.turns:
            said[turn.at :] = [("user", turn.question), ("assistant", turn.answer)]
        return [(role, [self._piece(part) for part in parts]) for role, parts in said[: record.standing]]

    def _piece(self, part: Mapping[str, Any]) -> str | Path:
        if "path" in part:
            return self.folder.folder / str(part["path"])
        return str(part["text"]) if "text" in part else f"[{part['type']} that nothing decodes]"

    @property
    def makes(self) -> list[str]:
        """Modalities that the model can answer with."""
        return [name for name, modality in self.model.config.modalities.items() if modality.decoder is not None]

    def ask(self, segments: Sequence[Text | Media], **options: Any) -> Generator[Event | Kept, None, None]:
        """Say something and watch the answer come; the last that comes is :class:`Kept`.

        Closing it before takes the turn back.

        Args:
            segments: Of the question.
            options: Of this turn, beside those that were set.

        Raises:
            anyloom.errors.AnyloomError: It does not fit the model, or cannot be written.
        """
        session = self.session
        at, seed, anew = len(session.messages), session.turn_seed(), session.anew
        chosen = {**self.options, **options}
        with closing(session.stream(*segments, seed=seed, **chosen)) as events:
            for event in events:
                if not isinstance(event, Finished):
                    yield event
                    continue
                how = validate(GenerationOptions, chosen, where="session")
                question = Message("user", segments)
                self.folder.record.seed = session.seed
                files = self.folder.add(question, event.message, at=at, seed=seed, anew=anew, options=how)
                yield Kept(event.message, files)

    def undo(self) -> None:
        """Take the last turn back."""
        self.session.undo()
        self.folder.save(standing=len(self.session.messages))

    def back_to(self, turn: int) -> tuple[Message, Message]:
        """Take back a turn, counted from 0, and all after it; return it.

        Raises:
            anyloom.errors.ConversationError: There is no such turn.
        """
        turns = self.turns
        if not 0 <= turn < len(turns):
            fix = f"turns are 1..{len(turns)}" if turns else "say something first"
            raise ConversationError(f"there is no turn {turn + 1}", where="chat", fix=fix)
        for _ in turns[turn:]:
            self.session.undo()
        self.folder.save(standing=len(self.session.messages))
        return turns[turn]

    def retry(self, **options: Any) -> Generator[Event | Kept, None, None]:
        """Ask the last question again, with another seed."""
        question, _ = self.back_to(len(self.turns) - 1)
        self.session.seed += 1
        return self.ask(question.segments, **options)

    def show_example(self, before: Media, after: Media) -> None:
        """Put a pair into the conversation as if it had been asked and answered.

        Args:
            before: A medium.
            after: What it should become.

        Raises:
            anyloom.errors.AnyloomError: A file cannot be read or written.
        """
        question, answer = Message("user", self.ask_for(before)), Message("assistant", [after])
        self.folder.add_given(question, answer, at=len(self.session.messages))
        self.session.messages += [question, answer]

    def ask_for(self, medium: Media) -> list[Text | Media]:
        """The question that asks for a medium what the examples before it show."""
        return [Text(_MORE if self.turns else _FIRST), medium, Text(".")]

    def set(self, name: str, value: Any) -> None:
        """Set an option of all turns that follow: one of ``GenerationOptions``, or ``modality.option`` of a decoder.

        Raises:
            anyloom.errors.AnyloomError: There is no such option, or the value does not fit.
        """
        modality, dot, option = name.partition(".")
        changed = dict(self.options)
        if dot:
            sampling: Mapping[str, Any] = changed.get("sampling", {})
            changed["sampling"] = {**sampling, modality: {**sampling.get(modality, {}), option: value}}
        else:
            changed[name] = value
        self._check(changed)
        self.options = changed

    def _check(self, options: Mapping[str, Any]) -> None:
        from anyloom.generation.generate import check_options

        check_options(self.model, validate(GenerationOptions, options, where="/set"))
