"""How much a command says beside its result: ``-q`` errors alone, ``-v`` what libraries log and the time it took."""

from __future__ import annotations

import logging
import os
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

from anyloom.remarks import say

__all__ = ["SWITCHES", "Progress", "note", "quiet", "saying"]

SWITCHES: Final = {"-q": "quiet", "-v": "verbose"}
_LEVEL: Final = ContextVar("level", default="")
_LOUD: Final = ("TRANSFORMERS_VERBOSITY", "DIFFUSERS_VERBOSITY")


def note(text: str) -> None:
    """Print to standard error what a user may want to know and did not ask for."""
    if not quiet():
        say(text)


def quiet() -> bool:
    """Whether the user wants to see nothing but results and errors.

    >>> quiet()
    False
    """
    return _LEVEL.get() == "quiet"


@contextmanager
def saying(level: str) -> Iterator[None]:
    """Run a command inside this.

    Args:
        level: ``quiet``, ``verbose``, or empty for neither.

    >>> with saying("quiet"):
    ...     quiet()
    True
    """
    token, started = _LEVEL.set(level), time.monotonic()
    root, before = logging.getLogger(), logging.getLogger().level
    handler: logging.Handler | None = None
    if level == "quiet":
        os.environ.update(dict.fromkeys(_LOUD, "error"))
        logging.disable(logging.WARNING)
    elif level == "verbose":
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
        root.addHandler(handler)
        root.setLevel(logging.INFO)
    format_before, warnings.formatwarning = warnings.formatwarning, _one_line
    try:
        with warnings.catch_warnings():
            if level == "quiet":
                warnings.simplefilter("ignore")
            yield
    finally:
        warnings.formatwarning = format_before
        if level == "verbose":
            say(f"seconds: {time.monotonic() - started:.1f}")
        logging.disable(logging.NOTSET)
        root.setLevel(before)
        if handler is not None:
            root.removeHandler(handler)
        _LEVEL.reset(token)


def _one_line(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
) -> str:
    """A warning to the user without the place in the code, which says nothing to them; others with it."""
    if category is UserWarning:
        return f"warning: {' '.join(str(message).split())}\n"
    return f"{filename}:{lineno}: {category.__name__}: {message}\n"


class Progress:
    """What is being done, on one line of a terminal; elsewhere, as in a log file, a line for each tenth of it."""

    def __init__(self) -> None:
        self._last = ("", -1)

    def __call__(self, doing: str, share: float) -> None:
        """Say what is being done, and which share of it is over."""
        share = min(share, 1.0)
        if quiet():
            return
        if sys.stderr.isatty():
            end = "\n" if share >= 1 else ""
            say(f"\r\x1b[2K{doing}  {share:4.0%}", end=end)
        elif (doing, int(share * 10)) != self._last:
            self._last = (doing, int(share * 10))
            note(f"{doing} {share:.0%}")
