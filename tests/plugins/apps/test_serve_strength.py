"""What a server must stand: strangers, crowds, clients that leave, a request that is poison, and its own end."""

from __future__ import annotations

import base64
import concurrent.futures
import io
import json
import logging
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import torch
from PIL import Image

from anyloom import Conversation, Message
from anyloom.cli.main import main
from anyloom.diffusion.sampling import Trajectory
from anyloom.generation.events import Finished
from anyloom.generation.options import GenerationOptions
from anyloom_serve.jobs import Failed
from anyloom_serve.worker import ServerFullError, Worker
from faults.rows import row

SECRET = "a prompt that nobody may read"


def body(words: str, **more: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": words}], "seed": 1, **more}


def post(url: str, value: Any, **more: Any) -> httpx.Response:
    return httpx.post(f"{url}/v1/chat/completions", json=value, timeout=60, **more)


def until(true: Callable[[], bool], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


LONG = {"plan": ["text"], "max_tokens": 1024, "temperature": 2.0}
SLOW = {"plan": ["image"] * 8}
LEAVING = 5.0
"""Seconds until a client that has left is forgotten: a call of the decoder that has begun is finished first."""

KEYS = row(
    40, "server", done="no key, a wrong key, keys in logs", promise="401 everywhere but for health; no key in logs"
)
LARGE = row(42, "server", done="large bodies, many parts and media", promise="4xx, memory bounded")
LEAVERS = row(43, "server", done="clients that leave, a full queue", promise="work ends, 429, no slot is lost")
POISON = row(44, "server", done="one request that fails inside", promise="it fails alone, the others are as alone")


@KEYS
def test_every_route_but_health_asks_for_the_key(serving: Callable[..., Any]) -> None:
    server = serving(key="s3cret")
    assert httpx.get(f"{server.url}/health").status_code == 200
    for path in ("/v1/models", "/metrics", "/openapi.json", "/nothing"):
        assert httpx.get(server.url + path).status_code == 401
        assert httpx.get(server.url + path, headers={"Authorization": "Bearer wrong"}).status_code == 401
    for path in ("chat/completions", "images/generations", "images/edits", "audio/speech"):
        assert httpx.post(f"{server.url}/v1/{path}", json={}).status_code == 401
    assert httpx.get(f"{server.url}/v1/models", headers={"Authorization": "Bearer s3cret"}).status_code == 200


@KEYS
@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.7", "example.org"])
def test_others_may_ask_only_with_a_key(host: str, capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    monkeypatch.delenv("ANYLOOM_API_KEY", raising=False)
    assert main(["serve", "--host", host]) != 0
    assert "without a key" in capsys.readouterr().err


@LARGE
def test_a_large_body_is_refused_before_it_is_held(serving: Callable[..., Any]) -> None:
    server = serving(limits=_limits(body_bytes=10_000))
    assert post(server.url, body("x" * 20_000)).status_code == 413

    def pieces() -> Any:
        for _ in range(100):
            yield b" " * 1000

    response = httpx.post(
        f"{server.url}/v1/chat/completions", content=pieces(), headers={"content-type": "application/json"}
    )
    assert response.status_code == 413


def _limits(**more: Any) -> Any:
    from anyloom_serve.limits import Limits

    return Limits(**more)


@LARGE
def test_limits_of_parts_and_media(serving: Callable[..., Any]) -> None:
    server = serving(limits=_limits(parts=3, media=1, messages=2, medium_bytes=100))
    parts = [{"type": "text", "text": "a"}] * 4
    assert "3 parts" in post(server.url, {"messages": [{"role": "user", "content": parts}]}).text
    assert "more than 2" in post(server.url, {"messages": [{"role": "user", "content": "a"}] * 3}).text
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 400}}
    assert "more than 100" in post(server.url, {"messages": [{"role": "user", "content": [picture]}]}).text


def test_opened_media_of_a_request_are_counted_together(serving: Callable[..., Any]) -> None:
    """A picture of one colour is small as it comes and large once it is opened."""
    file = io.BytesIO()
    Image.new("RGB", (1000, 1000), "red").save(file, "PNG")
    assert file.tell() < 10_000
    url = f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
    picture = {"type": "image_url", "image_url": {"url": url}}

    def ask(numbers: int, count: int) -> httpx.Response:
        server = serving(limits=_limits(numbers=numbers))
        return post(server.url, {"messages": [{"role": "user", "content": [picture] * count}], "max_tokens": 1})

    assert ask(6_500_000, 2).status_code == 200
    assert "6,500,000 numbers" in ask(6_500_000, 3).text
    assert "1,000,000 pixels" in ask(2_000_000, 1).text  # said by the reader, before the picture is decoded


@LEAVERS
def test_a_full_server_says_when_to_come_back(serving: Callable[..., Any]) -> None:
    server = serving(limits=_limits(together=1, waiting=1))
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda n: post(server.url, body(f"{n} hello", **SLOW)), range(8)))
    refused = [a for a in answers if a.status_code == 429]
    assert refused
    assert all(a.headers["retry-after"] == "2" for a in refused)
    assert {a.status_code for a in answers} == {200, 429}
    assert server.worker.load == (0, 0)


@LEAVERS
def test_who_leaves_is_forgotten(serving: Callable[..., Any]) -> None:
    server = serving()
    slow = body("Draw this: red apple, noto style.", **SLOW)
    with httpx.stream("POST", f"{server.url}/v1/chat/completions", json={**slow, "stream": True}) as response:
        lines = response.iter_lines()  # kept: one that is forgotten closes the response
        next(lines)
        assert until(lambda: server.worker.load[0] == 1, 5)
    assert until(lambda: server.worker.load == (0, 0), LEAVING)
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{server.url}/v1/chat/completions", json=slow, timeout=0.3)
    assert until(lambda: server.worker.load == (0, 0), LEAVING)


def test_a_medium_that_nobody_waits_for_is_not_finished(shipped: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """All who wait for it leave in the third step; then one of two does."""
    advance, submitted, leaving = Trajectory.advance, threading.Event(), list[Any]()
    steps = 0

    def counted(self: Trajectory, *more: Any) -> None:
        nonlocal steps
        assert submitted.wait(60)
        steps += 1
        if steps == 3:
            leaving[0].cancel()
        advance(self, *more)

    monkeypatch.setattr(Trajectory, "advance", counted)
    worker = Worker(shipped)
    worker.start()
    options = GenerationOptions(plan=("image",), sampling={"image": {"denoising_steps": 20}})
    prompt = Conversation([Message("user", "Draw this: red apple, noto style.")])
    leaving.append(worker.submit(prompt, options, 1, lambda event: None))
    submitted.set()
    assert until(lambda: worker.load == (0, 0), 60)
    assert steps == 3
    submitted.clear()
    steps, events = 0, list[Any]()
    leaving[:] = [worker.submit(prompt, options, 1, lambda event: None)]
    worker.submit(prompt, options, 2, events.append)
    submitted.set()
    assert until(lambda: events and isinstance(events[-1], Finished), 60)
    assert worker.close(10)


@POISON
def test_batch_mates_answer_as_alone(serving: Callable[..., Any], shipped: Any) -> None:
    server = serving()
    asks = [
        body("Draw this: red apple, noto style.", plan=["image"], seed=3),
        body("What can you do?", modalities=["text"], seed=3),
        body("Play this: crow cawing.", plan=["audio"], seed=3),
        body("Draw this: blue car, twemoji style.", plan=["text", "image", "text"], seed=9, max_tokens=5),
    ]
    alone = [post(server.url, ask).json()["choices"][0]["message"] for ask in asks]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        together = [r.json()["choices"][0]["message"] for r in pool.map(lambda a: post(server.url, a), asks * 2)]
    for one, two in zip(alone * 2, together):
        assert one["content"] == two["content"]
        assert [p["type"] for p in one["parts"]] == [p["type"] for p in two["parts"]]


class Poisoned(Exception):
    """What a poisoned step raises."""


@POISON
def test_a_poisoned_request_fails_alone(shipped: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading the poisoned prompt works; it is a step in which it takes part that fails."""
    from anyloom.generation.engine import Engine

    step = Engine.step

    def poisoned(self: Engine) -> None:
        if any(answer.seed == 666 and len(answer.fed) > 2 for answer in self.answers):
            raise Poisoned
        step(self)

    monkeypatch.setattr(Engine, "step", poisoned)
    worker = Worker(shipped)
    worker.start()
    heard: dict[int, list[Any]] = {seed: [] for seed in (1, 666, 2)}
    options = GenerationOptions(plan=("text", "image"), max_new_tokens=12)
    prompt = Conversation([Message("user", "Draw this: red apple, noto style.")])
    for seed, events in heard.items():
        worker.submit(prompt, options, seed, events.append)
    assert until(lambda: all(e and isinstance(e[-1], Finished | Failed) for e in heard.values()), 60)
    assert isinstance(heard[666][-1], Failed)
    assert isinstance(heard[666][-1].error, Poisoned)
    for seed in (1, 2):
        expected = shipped.generate(prompt, plan=("text", "image"), max_new_tokens=12, seed=seed)
        message = heard[seed][-1].message
        assert message.text == expected.text
        torch.testing.assert_close(message.media[0].features, expected.media[0].features, atol=1e-4, rtol=1e-4)
        said = "".join(e.text for e in heard[seed] if hasattr(e, "text"))
        assert said == message.text  # nothing was said twice though the answer was begun again
    assert worker.close(10)


def test_what_runs_is_finished_and_nothing_more_is_taken(shipped: Any) -> None:
    worker = Worker(shipped)
    worker.start()
    events: list[Any] = []
    prompt = Conversation([Message("user", "hello")])
    worker.submit(prompt, GenerationOptions(plan=("text",), max_new_tokens=40), 1, events.append)
    assert worker.close(60)
    assert isinstance(events[-1], Finished)
    with pytest.raises(ServerFullError, match="going down"):
        worker.submit(prompt, GenerationOptions(), 1, events.append)


@KEYS
def test_the_log_holds_no_prompt_and_no_key(
    serving: Callable[..., Any], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serving(key="k-very-secret")
    head = {"Authorization": "Bearer k-very-secret"}

    def broken(*args: Any, **more: Any) -> Any:
        raise RuntimeError(SECRET)

    with caplog.at_level(logging.DEBUG):
        assert post(server.url, body(SECRET), headers=head).status_code == 200
        monkeypatch.setattr("anyloom_serve.app.options_of", broken)
        response = post(server.url, body(SECRET), headers=head)
    assert response.status_code == 500
    assert SECRET not in response.text
    assert "RuntimeError" in caplog.text
    assert SECRET not in caplog.text
    assert "k-very-secret" not in caplog.text


def test_metrics_count(serving: Callable[..., Any]) -> None:
    server = serving()
    post(server.url, body("Draw this: red apple, noto style.", plan=["image"]))
    post(server.url, {"messages": []})
    text = httpx.get(f"{server.url}/metrics").text
    assert 'anyloom_media_total{modality="image"} 1.0' in text
    assert 'anyloom_requests_total{route="/v1/chat/completions",status="200"} 1.0' in text
    assert 'anyloom_requests_total{route="/v1/chat/completions",status="400"} 1.0' in text
    assert 'anyloom_answers_total{end="finished"} 1.0' in text


def disconnects(server: Any, rounds: int) -> None:
    """Ask and leave at all sorts of moments."""
    process = psutil.Process()

    def one(n: int) -> None:
        try:
            ask = body(f"{n}", **{**LONG, "max_tokens": 64}, stream=bool(n % 2))
            with httpx.stream("POST", f"{server.url}/v1/chat/completions", json=ask, timeout=5) as response:
                for line, _ in enumerate(response.iter_lines()):
                    if line >= n % 7:
                        break
        except httpx.HTTPError:
            pass

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(one, range(min(rounds, 40))))
        assert until(lambda: server.worker.load == (0, 0), 30)
        before = (threading.active_count(), process.num_fds(), process.memory_info().rss)
        list(pool.map(one, range(rounds)))
        assert until(lambda: server.worker.load == (0, 0), 30)
        assert until(lambda: process.num_fds() <= before[1] + 4, 30)
        assert threading.active_count() <= before[0] + 16  # of the pool, which grows to the clients at a time
        assert process.memory_info().rss < before[2] + 150 * 2**20
    assert post(server.url, body("hello", max_tokens=4)).status_code == 200


@LEAVERS
def test_clients_that_leave_leak_nothing(
    serving: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    disconnects(serving(), 40)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_thousand_clients_that_leave_leak_nothing(serving: Callable[..., Any]) -> None:
    disconnects(serving(), 1000)


def test_the_description_of_the_interface_is_complete(serving: Callable[..., Any]) -> None:
    spec = httpx.get(f"{serving().url}/openapi.json").json()
    routes = {"/health", "/metrics", "/v1/models", "/v1/chat/completions", "/v1/images/generations"}
    assert routes | {"/v1/images/edits", "/v1/audio/speech"} == set(spec["paths"])
    for path in spec["paths"].values():
        for operation in path.values():
            assert operation["description"]
    assert "temperature" in json.dumps(spec["components"]["schemas"]["ChatRequest"])
