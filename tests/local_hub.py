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
    """Takes every file within the commit, and gives it again; remembers what it was asked to take."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.asked: list[tuple[str, str, bytes]] = []
        self.files: dict[str, bytes] = {}
        self.fetched: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


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
            if self.command == "GET":
                self.server.fetched.append(name)
            self._answer(files[name], {"etag": f'"{_etag(files[name])}"', "x-repo-commit": COMMIT})
        else:
            self.send_error(404)

    def _known(self) -> bool:
        return "Bearer good" in self.headers.get("authorization", "")

    def _answer(self, content: bytes, headers: dict[str, str]) -> None:
        self.send_response(200 if self._known() else 401)
        for name, value in {**headers, "content-length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        pass


def _etag(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@contextmanager
def running_hub() -> Iterator[Hub]:
    """A hub that answers until the end of the block."""
    with Hub() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def environment(hub: Hub, token: str, cache: str | os.PathLike[str]) -> dict[str, str]:
    """The environment of a process that takes this hub for the hub."""
    paths = os.pathsep.join([*sys.path, os.environ.get("PYTHONPATH", "")])
    own = {"HF_ENDPOINT": hub.url, "HF_TOKEN": token, "HF_HUB_OFFLINE": "0", "HF_HOME": str(cache), "PYTHONPATH": paths}
    return {**os.environ, **own}
