"""Words to whoever runs a command, beside its results: on standard error."""

from __future__ import annotations

import sys

__all__ = ["say"]


def say(text: str, *, end: str = "\n") -> None:
    """Write to standard error, at once. A full disk there costs the words and not the work that they are about.

    Args:
        text: What to say.
        end: Written after it.

    Raises:
        BrokenPipeError: Whoever read it has left.
    """
    try:
        print(text, end=end, file=sys.stderr, flush=True)  # noqa: T201
    except BrokenPipeError:
        raise
    except OSError:
        return
