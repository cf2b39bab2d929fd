"""Every error that anyloom raises on purpose: what is wrong, where, and what to do.

A command line that meets one of these prints its text and exits with status 2; nobody sees a traceback for a
mistake in a config, a plugin or a file. Anything else that escapes is a bug of the framework or a plugin.
"""

from __future__ import annotations

import copyreg
import difflib
from collections.abc import Iterable, Sequence
from typing import Any, Literal

__all__ = [
    "AnyloomError",
    "BadRecord",
    "CheckpointError",
    "ConfigError",
    "ConversationError",
    "FeatureSpaceError",
    "MediaError",
    "PluginError",
    "Reason",
    "TooLongError",
    "UnknownNameError",
    "combine",
    "nearest",
]


Reason = Literal[
    "missing",
    "truncated",
    "wrong format",
    "too large",
    "silent",
    "NaN",
    "mismatched placeholders",
    "bad row",
    "no target",
    "too long",
    "too slow",
    "crashed",
]
"""Why a record of a data set was left out; the ledger counts by these."""


class AnyloomError(Exception):
    """Base of every deliberate error.

    Args:
        what: What is wrong, one sentence.
        where: The place: a YAML key, a file and line, a plugin with its version.
        fix: What the user can do about it.

    Attributes:
        parts: The single errors, where this one stands for several (see :func:`combine`); else only itself.

    >>> print(ConfigError("batch_size must be positive, got 0", where="data.batch_size", fix="give 1 or more"))
    data.batch_size: batch_size must be positive, got 0. To fix: give 1 or more
    """

    def __init__(self, what: str, *, where: str = "", fix: str = "") -> None:
        self.what, self.where, self.fix = what, where, fix
        self.parts: tuple[AnyloomError, ...] = (self,)
        super().__init__(what, where, fix)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle without a call of ``__init__``, whose keywords ``Exception`` does not remember."""
        return copyreg.__newobj__, (type(self), *self.args), self.__dict__  # type: ignore[attr-defined]

    def __str__(self) -> str:
        text = f"{self.where}: {self.what}" if self.where else self.what
        return f"{text.rstrip('.')}. To fix: {self.fix}" if self.fix else text


class ConfigError(AnyloomError):
    """A value, key or file of a configuration is wrong.

    >>> ConfigError("must be greater than 0", where="data.batch_size", fix="give 1 or more")
    ConfigError('must be greater than 0', 'data.batch_size', 'give 1 or more')
    """


class PluginError(AnyloomError):
    """A plugin is broken, incompatible, duplicated or lacks something it requires."""


class UnknownNameError(PluginError):
    """No plugin provides the name that was asked for."""


class FeatureSpaceError(ConfigError):
    """Two components do not speak the same feature space.

    >>> isinstance(FeatureSpaceError("512 numbers a step, the decoder reads 768", where="model"), ConfigError)
    True
    """


class ConversationError(AnyloomError):
    """A conversation cannot be read or does not fit the model."""


class TooLongError(ConversationError):
    """A conversation is longer than the model reads, even without its oldest turns.

    >>> TooLongError("700 positions, the model reads 512").reason
    'too long'
    """

    reason: Reason = "too long"


class MediaError(AnyloomError):
    """A picture, sound or other media file cannot be read or written.

    Args:
        what: What is wrong.
        where: The file.
        fix: What the user can do about it.
        reason: What a ledger counts a record with this file as, where that is more than ``wrong format``.

    >>> print(MediaError("this is no PNG", where="a.png", reason="wrong format"))
    a.png: this is no PNG
    """

    def __init__(self, what: str, *, where: str = "", fix: str = "", reason: Reason | None = None) -> None:
        super().__init__(what, where=where, fix=fix)
        self.reason = reason


class BadRecord(AnyloomError):  # noqa: N818 - it is an outcome that is counted, not a failure
    """A record of a data set cannot be used. A run skips it, counts it by its reason and goes on.

    Args:
        reason: What the ledger counts it as.
        where: Which record: file and line, archive and member, row.
        what: What exactly is wrong; the reason alone if empty.

    >>> print(BadRecord("missing", "list.csv:7", "there is no picture cat.jpg"))
    list.csv:7: there is no picture cat.jpg
    """

    def __init__(self, reason: Reason, where: str, what: str = "") -> None:
        super().__init__(what or reason, where=where)
        self.reason: Reason = reason


class CheckpointError(AnyloomError):
    """Weights are missing, truncated or do not belong to this component.

    >>> print(CheckpointError("there are no weights here", where="runs/last", fix="check the path in the config"))
    runs/last: there are no weights here. To fix: check the path in the config
    """


def combine(errors: Sequence[AnyloomError]) -> AnyloomError:
    """Return one error for several: the only one as it is, else one with a line for each.

    Args:
        errors: At least one. Several of one class give that class, else :class:`ConfigError`.

    >>> print(combine([ConfigError("too small", where="a"), ConfigError("too big", where="b")]))
    a: too small
    b: too big
    """
    parts = [part for error in errors for part in error.parts]
    if len(parts) == 1:
        return parts[0]
    classes = {type(part) for part in parts}
    whole = (classes.pop() if len(classes) == 1 else ConfigError)("\n".join(str(part) for part in parts))
    whole.parts = tuple(parts)
    return whole


def nearest(name: str, known: Iterable[str]) -> str:
    """Return `` Did you mean 'x'?`` for the known name nearest to ``name``, or an empty string.

    >>> nearest("lama", ["llama", "gpt2"])
    "did you mean 'llama'?"
    """
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"did you mean '{close[0]}'?" if close else ""
