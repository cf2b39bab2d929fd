"""The conversation in a terminal: reads lines, shows answers as they come."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Callable, Generator, Sequence
from contextlib import closing, nullcontext, suppress
from pathlib import Path
from typing import IO, Final

from anyloom.conversation import Media, Text
from anyloom.errors import AnyloomError
from anyloom.generation.events import Event, MediumBegun, MediumPreviewed, TextMade
from anyloom.generation.previews import watching_previews
from anyloom.interfaces.progress import watching_progress
from anyloom.media import io_for, write_media
from anyloom_chat.inline import protocol_of, shown
from anyloom_chat.orders import Orders, Quit
from anyloom_chat.talk import Kept, Talk
from anyloom_chat.words import segments_of

__all__ = ["Terminal"]

_PROMPT: Final = "you> "
_BAR: Final = 24


class Terminal:
    """Reads a line, answers it, until the end of the input.

    Args:
        talk: The conversation.
        read: Returns the next line after a prompt; raises EOFError at the end.
        out: Where answers are shown.
        previews: Every how many steps a terminal that can show pictures shows one in the making; 0 for never.
    """

    def __init__(
        self, talk: Talk, read: Callable[[str], str] = input, out: IO[str] | None = None, *, previews: int = 0
    ) -> None:
        self.talk, self.read = talk, read
        self.out = sys.stdout if out is None else out
        self.protocol = protocol_of(stream=self.out)
        self.previews = previews if self.protocol != "none" else 0
        self.orders = Orders(talk, self)
        self._bar = False

    def run(self) -> int:
        """Talk until the user leaves; returns the exit status."""
        while True:
            try:
                line = self.read(_PROMPT).strip()
            except EOFError:
                self.say("")
                return 0
            except KeyboardInterrupt:  # at the prompt it clears the line, as shells do
                self.say("")
                continue
            try:
                if line:
                    self._obey(line)
            except Quit:
                return 0
            except AnyloomError as error:
                self.say(f"error: {error}")
            except KeyboardInterrupt:
                self._end_bar()
                self.say("\nstopped; this turn was taken back")

    def _obey(self, line: str) -> None:
        if line.startswith("/") and not Path(line.split()[0]).exists():
            self.orders.obey(line)
            return
        self.answer(self.talk.ask(self._question(segments_of(line)), **self.orders.next_options()))

    def _question(self, segments: list[Text | Media]) -> Sequence[Text | Media]:
        """After examples, a medium alone is asked to become what they show."""
        alone = len(segments) == 1 and isinstance(segments[0], Media)
        if alone and self.orders.showing_examples and isinstance(segments[0], Media):
            return self.talk.ask_for(segments[0])
        return segments

    def answer(self, answer: Generator[Event | Kept, None, None]) -> None:
        """Show an answer while it comes; one that is stopped is closed, which takes its turn back."""
        looking = watching_previews(self._look, every=self.previews) if self.previews else nullcontext()
        with closing(answer) as events, watching_progress(self._progress), looking:
            for event in events:
                if isinstance(event, TextMade):
                    self._write(event.text)
                elif isinstance(event, MediumBegun):
                    self._write(f"\n[{event.modality}]")
                elif isinstance(event, Kept):
                    self._end_bar()
                    self._write("\n")
                    for file in event.files:
                        self._write(shown(file, self.protocol))
                        self.say(str(file))

    def _look(self, event: MediumPreviewed) -> None:
        """Show what a medium looks like so far; kinds that are no pictures have no such file."""
        with tempfile.TemporaryDirectory(prefix="anyloom-") as folder:
            suffix = io_for(event.media.modality).suffixes[0]
            picture = shown(write_media(event.media, Path(folder, f"look{suffix}")), self.protocol)
        if picture:
            self._end_bar()
            self._write(picture)

    def say(self, text: str) -> None:
        """Print a line."""
        self._write(f"{text}\n")

    def _write(self, text: str) -> None:
        self.out.write(text)
        self.out.flush()

    def _progress(self, done: int, total: int) -> None:
        if not self.out.isatty():
            return
        width = min(_BAR, max(4, shutil.get_terminal_size().columns - 24))
        filled = width * done // max(total, 1)
        self._write(f"\r[{'#' * filled}{'.' * (width - filled)}] {done}/{total}")
        self._bar = True

    def _end_bar(self) -> None:
        if self._bar:
            self._write("\r" + " " * (_BAR + 24) + "\r")
        self._bar = False


def reader_with_history(file: Path) -> Callable[[str], str]:
    """``input`` with the lines of earlier conversations at the arrow keys."""
    with suppress(ImportError):
        import atexit
        import readline

        with suppress(OSError):
            readline.read_history_file(file)
        readline.set_history_length(1000)

        def keep() -> None:
            with suppress(OSError):
                file.parent.mkdir(parents=True, exist_ok=True)
                readline.write_history_file(file)

        atexit.register(keep)
    return input
