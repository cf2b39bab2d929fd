"""``anyloom serve`` as a process: Ctrl-C lets what runs come to its end, and nothing more is taken."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

pytestmark = pytest.mark.slow


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[str, Any]]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path / "log"
    with log.open("wb") as told:
        command = [sys.executable, "-m", "anyloom.cli.main", "serve", "mini", "--port", str(port)]
        process = subprocess.Popen(command, stdout=told, stderr=told, cwd=tmp_path)
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(2400):
            assert process.poll() is None, log.read_text()
            try:
                httpx.get(f"{url}/health", timeout=2)
                break
            except httpx.HTTPError:
                time.sleep(0.2)
        yield url, process
        assert "Traceback" not in log.read_text()
    finally:
        process.kill()
        process.wait()


def test_ctrl_c_lets_an_answer_come_to_its_end(served: tuple[str, Any]) -> None:
    url, process = served
    asked = {
        "messages": [{"role": "user", "content": "Draw this: red apple, noto style."}],
        "plan": ["image", "image", "image"],
        "stream": True,
    }
    with httpx.stream("POST", f"{url}/v1/chat/completions", json=asked, timeout=120) as response:
        lines = (line for line in response.iter_lines() if line)
        first = next(lines)
        process.send_signal(signal.SIGINT)
        told = [first, *lines]
    assert told[-1] == "data: [DONE]"
    events = [json.loads(line.removeprefix("data: ")) for line in told[:-1]]
    pictures = [part for event in events for part in event["choices"][0]["delta"].get("images", [])]
    assert [picture["type"] for picture in pictures] == ["image_url"] * 3
    assert process.wait(60) == 0
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{url}/health")
