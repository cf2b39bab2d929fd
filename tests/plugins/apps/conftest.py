"""A server on a real port, with the model that ships."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

pytest.importorskip("fastapi")
import uvicorn

from anyloom import AnyToAnyModel
from anyloom.cli.model_argument import shipped_weights
from anyloom_serve.app import make_app
from anyloom_serve.worker import Worker


@dataclass
class Running:
    """A server that runs."""

    url: str
    worker: Worker
    model: AnyToAnyModel
    stop: Callable[[], None]


@pytest.fixture(scope="session")
def shipped() -> AnyToAnyModel:
    folder = shipped_weights()
    assert folder is not None
    return AnyToAnyModel.from_pretrained(folder, trust=True).eval()


@pytest.fixture(scope="module")
def serving(shipped: AnyToAnyModel) -> Iterator[Callable[..., Running]]:
    """Starts servers of the shipped model, or another, with options of make_app; all are stopped at the end."""
    running: list[Running] = []

    def start(model: AnyToAnyModel = shipped, **options: Any) -> Running:
        app = make_app(model, **{"apart": False, **options})
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="error", access_log=False))
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.02)

        def stop() -> None:
            server.should_exit = True
            thread.join(60)

        running.append(Running(f"http://127.0.0.1:{port}", app.state.worker, model, stop))
        return running[-1]

    yield start
    for one in running:
        one.stop()
