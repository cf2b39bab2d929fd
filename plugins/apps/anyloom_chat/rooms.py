"""The conversations of a page: one per browser, each in a folder of its own."""

from __future__ import annotations

import re
import threading
import uuid
from pathlib import Path
from typing import Final

from anyloom.cli.model_argument import NamedModel
from anyloom.errors import ConversationError
from anyloom_chat.talk import Talk

__all__ = ["Rooms"]

_NAME: Final = re.compile(r"[0-9a-f]{32}")
_MOST_OPEN: Final = 64


class Rooms:
    """Finds the conversation of a browser by the name that the browser keeps.

    Args:
        named: The model, which all share; one answer is made at a time.
        folder: Of the conversations, each in a folder below it.
        seed: Of new ones.
        overrides: What of the model's options was changed.
        notes: Write into media what made them.
    """

    def __init__(self, named: NamedModel, folder: Path, *, seed: int, overrides: list[str], notes: bool) -> None:
        self.named, self.folder = named, folder
        self.seed, self.overrides, self.notes = seed, overrides, notes
        self.lock = threading.Lock()
        self._open: dict[str, Talk] = {}
        self._stops: dict[str, threading.Event] = {}

    def new(self) -> str:
        """A name for a new conversation."""
        return uuid.uuid4().hex

    def talk(self, name: str) -> Talk:
        """The conversation of that name; read from its folder if it is not open.

        Raises:
            anyloom.errors.ConversationError: It is no name that :meth:`new` gives: it came from a browser.
        """
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise ConversationError("this is no name of a conversation", where="chat")
        if name not in self._open:
            while len(self._open) >= _MOST_OPEN:  # the oldest can be read from its folder again
                self._open.pop(next(iter(self._open)))
            self._open[name] = Talk(
                self.named, self.folder / name, seed=self.seed, overrides=self.overrides, notes=self.notes
            )
        return self._open[name]

    def begin(self, name: str) -> threading.Event:
        """What stops the answer that begins now."""
        self._stops[name] = threading.Event()
        return self._stops[name]

    def stop(self, name: str) -> None:
        """Stop the answer that is being made, if there is one."""
        if name in self._stops:
            self._stops[name].set()
