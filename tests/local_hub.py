"""A hub of one repository on this computer, with the routes that huggingface_hub asks for."""

from __future__ import annotations

import base64
import hashlib
import http.server
import json
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import unquote, urlsplit

__all__ = ["COMMIT", "Hub", "environment", "running_hub"]

COMMIT = "a" * 40


class Hub(http.server.ThreadingHTTPServer):
    """Takes every file within the commit, and gives it again; remembers what it was asked to take.

    Args:
        flaky: Be a bad one: one of three requests for a file ends in status 503, and what is longer than 1,000 bytes
            breaks off in the middle the first time.
    """

    def __init__(self, *, flaky: bool = False) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.flaky, self.refused = flaky, 0
        self.broken_off: set[str] = set()
        self.went_on: list[str] = []
        self._tries: dict[str, int] = {}
        self.asked: list[tuple[str, str, bytes]] = []
        self.files: dict[str, bytes] = {}
        self.fetched: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def refuses(self, request: str) -> bool:
        """Whether this request is one that a bad hub does not answer."""
        self._tries[request] = self._tries.get(request, 0) + 1
        refused = self.flaky and self._tries[request] % 3 == 1
        self.refused += refused
        return refused


class Answers(http.server.BaseHTTPRequestHandler):
    server: Hub

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        self.server.asked.append((self.path, self.headers.get("authorization", ""), body))
        value: dict[str, Any] = {"url": f"{self.server.url}/owner/model"}
        if "/preupload/" in self.path:
            paths = [file["path"] for file in json.loads(body)["files"]]
            value = {"files": [{"path": p, "uploadMode": "regular", "shouldIgnore": False} for p in paths]}
        elif "/commit/" in self.path and self._known():
            value = {"commitUrl": f"{self.server.url}/owner/model/commit/{COMMIT}", "commitOid": COMMIT}
            lines = [json.loads(line) for line in body.splitlines()]
            files = [x["value"] for x in lines if x["key"] == "file"]
            self.server.files = {f["path"]: base64.b64decode(f["content"]) for f in files}
        self._answer(json.dumps(value).encode(), {"content-type": "application/json"})

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        files = self.server.files
        if path.startswith("/api/models/owner/model/tree/"):
            listed = [
                {"type": "file", "path": name, "size": len(files[name]), "oid": _etag(files[name])} for name in files
            ]
            self._answer(json.dumps(listed).encode(), {"content-type": "application/json"})
        elif path.startswith("/api/models/owner/model"):
            siblings = [{"rfilename": name} for name in files]
            about = {"id": "owner/model", "sha": COMMIT, "siblings": siblings, "private": True, "tags": []}
            self._answer(json.dumps(about).encode(), {"content-type": "application/json"})
        elif (name := path.partition(f"/owner/model/resolve/{COMMIT}/")[2]) in files:
            self._file(name, files[name])
        else:
            self.send_error(404)

    def _file(self, name: str, content: bytes) -> None:
        if self.server.refuses(f"{self.command} {name}"):
            self.send_error(503)
            return
        headers = {"etag": f'"{_etag(content)}"', "x-repo-commit": COMMIT, "accept-ranges": "bytes"}
        start = int(self.headers.get("range", "bytes=0-").removeprefix("bytes=").partition("-")[0])
        if self.command == "GET" and not start:
            self.server.fetched.append(name)
        if start:
            self.server.went_on.append(name)
            headers["content-range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        self._answer(content[start:], headers, status=206 if start else 200, name=name)

    def _known(self) -> bool:
        return "Bearer good" in self.headers.get("authorization", "")

    def _answer(self, content: bytes, headers: dict[str, str], *, status: int = 200, name: str = "") -> None:
        self.send_response(status if self._known() else 401)
        for key, value in {**headers, "content-length": str(len(content))}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        if self.server.flaky and name not in self.server.broken_off and len(content) > 1000:
            self.server.broken_off.add(name)
            self.wfile.write(content[: len(content) // 2])
            self.close_connection = True
            self.connection.close()
            return
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        pass


def _etag(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@contextmanager
def running_hub(*, flaky: bool = False) -> Iterator[Hub]:
    """A hub that answers until the end of the block."""
    with Hub(flaky=flaky) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def environment(hub: Hub, token: str, cache: str | os.PathLike[str]) -> dict[str, str]:
    """The environment of a process that takes this hub for the hub."""
    paths = os.pathsep.join([*sys.path, os.environ.get("PYTHONPATH", "")])
    own = {"HF_ENDPOINT": hub.url, "HF_TOKEN": token, "HF_HUB_OFFLINE": "0", "HF_HOME": str(cache), "PYTHONPATH": paths}
    return {**os.environ, **own}
