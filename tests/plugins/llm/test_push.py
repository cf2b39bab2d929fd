"""``anyloom export --to hub --push``: huggingface_hub's own client against a local server of the hub's routes."""

from __future__ import annotations

import base64
import http.server
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from anyloom import AnyToAnyModel
from anyloom.network.config import ModelConfig
from anyloom.options import validate
from parts import image_decoder_options, model_options


class Hub(http.server.ThreadingHTTPServer):
    """Takes every file within the commit; remembers what it was asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.asked: list[tuple[str, str, bytes]] = []

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
        elif "/commit/" in self.path:
            value = {"commitUrl": f"{self.server.url}/owner/model/commit/{'a' * 40}", "commitOid": "a" * 40}
        content = json.dumps(value).encode()
        self.send_response(200 if "Bearer good" in self.headers.get("authorization", "") else 401)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def export(folder: Path, hub: Hub, token: str, output: Path) -> subprocess.CompletedProcess[str]:
    words = ["export", str(folder), "--trust", "--to", "hub", "--output", str(output), "--push", "owner/model"]
    env = {**os.environ, "HF_ENDPOINT": hub.url, "HF_TOKEN": token, "HF_HUB_OFFLINE": "0"}
    env["PYTHONPATH"] = os.pathsep.join([*sys.path, env.get("PYTHONPATH", "")])
    command = [sys.executable, "-m", "anyloom.cli.main", *words]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.slow
def test_a_model_is_pushed_with_its_card_and_a_refusal_is_one_line(
    hub: Hub, tokenizer_folder: Path, tmp_path: Path
) -> None:
    options = model_options(tokenizer_folder, decoders={"brush": image_decoder_options()})
    options["modalities"]["image"]["decoder"] = "brush"
    AnyToAnyModel(validate(ModelConfig, options, where="model")).save_pretrained(tmp_path / "model")
    done = export(tmp_path / "model", hub, "good", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == f"{hub.url}/owner/model/commit/{'a' * 40}"
    made, _, committed = hub.asked[0], hub.asked[1], hub.asked[-1]
    assert json.loads(made[2])["visibility"] == "private"
    assert {token for _, token, _ in hub.asked} == {"Bearer good"}
    lines = [json.loads(line) for line in committed[2].splitlines()]
    files = {x["value"]["path"]: base64.b64decode(x["value"]["content"]) for x in lines if x["key"] == "file"}
    on_disk = {str(f.relative_to(tmp_path / "out")) for f in (tmp_path / "out").rglob("*") if f.is_file()}
    assert set(files) == on_disk
    assert "CreativeML" in files["README.md"].decode(), "the card has the licence of the decoder's weights"
    assert files["model.safetensors"] == (tmp_path / "out" / "model.safetensors").read_bytes()
    refused = export(tmp_path / "model", hub, "bad", tmp_path / "again")
    assert refused.returncode == 2
    assert "the hub did not take it" in refused.stderr.splitlines()[-1]
    assert "Traceback" not in refused.stderr
