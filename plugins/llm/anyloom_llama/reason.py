"""What another library says is wrong, in one line."""

from __future__ import annotations

__all__ = ["reason"]

_LONGEST = 300


def reason(error: BaseException) -> str:
    """The text of an error in one line, cut where it is long; its class where it has no text.

    >>> reason(ValueError("bad\\n   heads"))
    'bad heads'
    >>> reason(KeyError())
    'KeyError'
    """
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= _LONGEST else text[:_LONGEST] + " ..."
