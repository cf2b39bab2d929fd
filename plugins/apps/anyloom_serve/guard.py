"""What every request goes through before a route sees it: the key, the size of its body, and counting.

A plain ASGI layer, so that bodies are counted as they come and are never held whole past their limit.
"""

from __future__ import annotations

import hmac
import json
import logging
import time
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from anyloom_serve.metrics import Meters

__all__ = ["Guard"]

_LOG = logging.getLogger("anyloom.serve")
_OPEN = frozenset({"/health"})


class _TooLargeError(Exception):
    """The body is larger than its limit."""


class Guard:
    """Lets requests through that have the key and are not too large.

    Args:
        app: What is behind.
        key: Every route but ``/health`` asks for it; None asks for none.
        most_bytes: Of a body.
        meters: Counts requests by route and status.
    """

    def __init__(self, app: ASGIApp, *, key: str | None, most_bytes: int, meters: Meters) -> None:
        self.app, self.key, self.most_bytes, self.meters = app, key, most_bytes, meters

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began, status, started = time.monotonic(), 500, False
        body = _Counted(receive, self.most_bytes)

        async def watched(message: Message) -> None:
            nonlocal status, started
            if body.too_large and not started:
                raise _TooLargeError  # whatever a route has made of the cut body
            if message["type"] == "http.response.start":
                status, started = message["status"], True
            await send(message)

        try:
            refused = self._refused(scope)
            if refused is not None:
                await _answer(watched, *refused)
            else:
                await self.app(scope, body.receive, watched)
        except _TooLargeError:
            if not started:
                body.too_large = False
                await _answer(watched, 413, f"the body is larger than {self.most_bytes:,} bytes")
        except Exception as error:
            # Neither the request nor the error's text is written: both may hold what a user said.
            _LOG.error("%s failed: %s", scope["path"], type(error).__name__)
            if not started:
                await _answer(watched, 500, "the server failed; its log says where", "server_error")
        finally:
            route = getattr(scope.get("route"), "path", "other")
            self.meters.requests.labels(route, str(status)).inc()
            _LOG.info("%s %s %d %.3f s", scope["method"], route, status, time.monotonic() - began)

    def _refused(self, scope: Scope) -> tuple[int, str] | None:
        headers = {name.lower(): value for name, value in scope["headers"]}
        if self.key is not None and scope["path"] not in _OPEN:
            given = headers.get(b"authorization", b"")
            if not hmac.compare_digest(given, f"Bearer {self.key}".encode()):
                return 401, "the key is missing or wrong; send it as 'Authorization: Bearer ...'"
        length = headers.get(b"content-length", b"0")
        if length.isdigit() and int(length) > self.most_bytes:
            return 413, f"the body is larger than {self.most_bytes:,} bytes"
        return None


class _Counted:
    """A body that is counted as it comes.

    Args:
        receive: Gives its pieces.
        most_bytes: Where it is cut.
    """

    def __init__(self, receive: Receive, most_bytes: int) -> None:
        self._receive, self._left, self.too_large = receive, most_bytes, False

    async def receive(self) -> Message:
        """The next piece."""
        message = await self._receive()
        self._left -= len(message.get("body", b""))
        if self._left < 0:
            self.too_large = True
            raise _TooLargeError
        return message


async def _answer(send: Send, status: int, what: str, kind: str = "invalid_request_error") -> None:
    body: dict[str, Any] = {"error": {"message": what, "type": kind, "param": None, "code": None}}
    content = json.dumps(body).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content})
