"""Errors as clients of OpenAI's interface read them."""

from __future__ import annotations

from typing import Any

from anyloom.errors import AnyloomError
from anyloom_serve.worker import ServerFullError

__all__ = ["error_body", "status_of"]


def status_of(error: AnyloomError) -> int:
    """The HTTP status of an error: 429 where the server is full, otherwise 400.

    >>> status_of(AnyloomError("wrong"))
    400
    """
    return 429 if isinstance(error, ServerFullError) else 400


def error_body(error: AnyloomError) -> dict[str, Any]:
    """What was wrong, where, and what to do.

    >>> error_body(AnyloomError("no such role", where="messages[0]", fix="use user"))["error"]["param"]
    'messages[0]'
    >>> error_body(AnyloomError("no such role"))["error"]["message"]
    'no such role'
    """
    kind = "server_full" if isinstance(error, ServerFullError) else "invalid_request_error"
    message = error.what if not error.fix else f"{error.what}. To fix: {error.fix}"
    return {"error": {"message": message, "type": kind, "param": error.where or None, "code": None}}
