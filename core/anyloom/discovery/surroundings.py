"""What a module can change around itself when it is imported: seen by comparison, put back where that is possible."""

from __future__ import annotations

import contextlib
import json  # noqa: F401 - to be there before a plugin can replace a function of it
import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from typing import Any, Final

__all__ = ["Surroundings"]

_MODULES: Final = (
    "builtins", "sys", "os", "io", "json", "time", "random", "threading", "signal", "logging", "warnings", "importlib",
    "subprocess", "pathlib", "pluggy", "anyloom.errors", "anyloom.discovery.hooks", "anyloom.discovery.records",
    "anyloom.discovery.registry", "torch", "torch.nn", "torch.nn.functional", "numpy", "transformers",
)  # fmt: skip
"""Modules whose functions and classes are compared, if they are there; classes with their methods where it is cheap."""

_CLASSES: Final = (("json", "JSONEncoder"), ("json", "JSONDecoder"), ("pathlib", "Path"), ("threading", "Thread"))
_SIGNALS: Final = ("SIGINT", "SIGTERM", "SIGALRM")
_NUMBERS: Final = {name: int(getattr(signal, name)) for name in _SIGNALS if hasattr(signal, name)}


class Surroundings:
    """The state before a plugin is loaded; :meth:`restored` says what it has changed and begins anew.

    A name that a module gains is no change: importing ``logging.handlers`` adds ``handlers`` to ``logging``.
    """

    def __init__(self) -> None:
        self._folder = _folder()
        self._environment = _environment().copy()
        self._path = list(sys.path)
        self._threads = set(threading.enumerate())
        self._handlers = _handlers()
        self._names = {label: (owner, dict(vars(owner))) for label, owner in _owners()}

    def restored(self) -> list[str]:
        """Put back what was changed and return a line for each change."""
        notes = [*self._restore_folder(), *self._restore_names(), *self._restore_signals()]
        now = _environment()
        if now != self._environment:
            changed = {k for k in now.keys() | self._environment.keys() if now.get(k) != self._environment.get(k)}
            notes.append(f"changes environment variables: {', '.join(sorted(map(_text, changed)))}")
            self._environment = now.copy()
        if sys.path != self._path:
            notes.append("changes sys.path (put back)")
            sys.path[:] = self._path
        threads = set(threading.enumerate())
        if started := [t for t in threads - self._threads if t.is_alive()]:
            notes.append(f"starts threads: {', '.join(sorted(t.name for t in started))}")
        self._threads = threads
        return notes

    def _restore_folder(self) -> Iterator[str]:
        if self._folder is not None and _folder() != self._folder:
            with contextlib.suppress(OSError):
                os.chdir(self._folder)
            yield "changes the working folder (put back)"

    def _restore_names(self) -> Iterator[str]:
        for label, (owner, before) in self._names.items():
            now = vars(owner)
            if _equal(now, before):
                continue
            for name in [n for n in before if n not in now or now[n] is not before[n]]:
                if not _is_state(label, name):
                    setattr(owner, name, before[name])
                    yield f"replaces {label}.{name} (put back)"
            before.clear()
            before.update(now)

    def _restore_signals(self) -> Iterator[str]:
        now = _handlers()
        for name, handler in self._handlers.items():
            if now[name] is not handler and threading.current_thread() is threading.main_thread():
                signal.signal(getattr(signal, name), handler)
                yield f"takes the signal {name} (put back)"


def _owners() -> Iterator[tuple[str, Any]]:
    """The modules and classes to compare, with their names."""
    for name in _MODULES:
        if name in sys.modules:
            yield name, sys.modules[name]
    for module, name in _CLASSES:
        if module in sys.modules:
            yield f"{module}.{name}", getattr(sys.modules[module], name)


def _equal(now: Mapping[str, Any], before: Mapping[str, Any]) -> bool:
    """Whether nothing has changed, by one comparison in C; identical values are not compared further."""
    try:
        return bool(now == before)
    except Exception:  # values that cannot be compared, such as arrays
        return False


def _is_state(label: str, name: str) -> bool:
    """Whether a name holds state that the module itself changes."""
    return (name.startswith("_") and name != "__import__") or (label == "sys" and name.startswith("last_"))


def _environment() -> dict[Any, Any]:
    """The variables as they are kept; to decode them all after each plugin would take longer than all the rest."""
    kept: dict[Any, Any] = getattr(os.environ, "_data", None) or dict(os.environ)
    return kept


def _text(name: Any) -> str:
    return name.decode(errors="replace") if isinstance(name, bytes) else str(name)


def _folder() -> str | None:
    try:
        return os.getcwd()
    except OSError:  # it has been removed
        return None


def _handlers() -> dict[str, Any]:
    return {name: signal.getsignal(number) for name, number in _NUMBERS.items()}
