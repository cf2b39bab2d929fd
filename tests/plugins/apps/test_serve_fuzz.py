"""Bodies of all sorts: whatever comes, the server answers with what was wrong, and never with a failure of its own."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from anyloom.media.shipped import sample

ROUTES = ("chat/completions", "images/generations", "audio/speech")
HAT = "data:image/png;base64," + base64.b64encode(Path(sample("hat").path).read_bytes()).decode()
PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
ANY = st.recursive(PLAIN, lambda v: st.lists(v, max_size=4) | st.dictionaries(st.text(max_size=8), v, max_size=4))
PART = st.one_of(
    ANY,
    st.fixed_dictionaries({"type": st.just("text"), "text": ANY}),
    st.fixed_dictionaries({"type": st.just("image_url"), "image_url": ANY | st.fixed_dictionaries({"url": ANY})}),
    st.fixed_dictionaries({"type": st.just("image_url"), "image_url": st.just({"url": HAT})}),
    st.fixed_dictionaries(
        {
            "type": st.just("image_url"),
            "image_url": st.fixed_dictionaries({"url": st.integers(0, 4000).map(lambda n: HAT[:n])}),
        }
    ),
    st.fixed_dictionaries({"type": st.just("input_audio"), "input_audio": ANY}),
)
MESSAGE = ANY | st.fixed_dictionaries(
    {
        "role": st.sampled_from(["user", "assistant", "system", "tool", ""]) | ANY,
        "content": ANY | st.lists(PART, max_size=3),
    }
)
OPTIONS: dict[str, Any] = {
    "max_tokens": st.integers(-1, 8) | ANY,
    "modalities": st.lists(st.sampled_from(["text", "image", "audio", "video", ""]), max_size=3) | ANY,
    "plan": st.lists(st.sampled_from(["text", "image", "audio", "x"]), max_size=2) | ANY,
    "sampling": st.dictionaries(st.sampled_from(["image", "x"]), ANY, max_size=2) | ANY,
    "seed": st.integers(-1, 2**70) | ANY,
    "temperature": st.floats(-1, 3) | ANY,
    "top_p": st.floats(-1, 2) | ANY,
    "stream": st.booleans() | ANY,
    "n": st.integers(-1, 3) | ANY,
    "prompt": ANY,
    "input": ANY,
    "audio": ANY,
    "model": ANY,
    "nonsense": ANY,
}
BODY = ANY | st.fixed_dictionaries({"messages": st.lists(MESSAGE, max_size=3) | ANY}, optional=OPTIONS)


@pytest.fixture(scope="module")
def client(serving: Callable[..., Any]) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"{serving().url}/v1/", timeout=60) as client:
        yield client


def is_refused_or_answered(client: httpx.Client, route: str, body: Any) -> None:
    try:
        content = httpx.Request("POST", "http://x", json=body).content
    except (ValueError, UnicodeEncodeError):
        return  # NaN and halves of characters are no JSON
    response = client.post(route, content=content, headers={"content-type": "application/json"})
    assert response.status_code in (200, 400, 413, 422), response.text
    if response.status_code != 200:
        assert response.json()["error"]["message"]


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(route=st.sampled_from(ROUTES), body=BODY)
def test_no_body_breaks_it(client: httpx.Client, route: str, body: Any) -> None:
    is_refused_or_answered(client, route, body)


@pytest.mark.slow
@settings(max_examples=1500, deadline=None, suppress_health_check=list(HealthCheck))
@given(route=st.sampled_from(ROUTES), body=BODY)
def test_nor_do_many(client: httpx.Client, route: str, body: Any) -> None:
    is_refused_or_answered(client, route, body)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(route=st.sampled_from([*ROUTES, "images/edits"]), content=st.binary(max_size=200))
def test_no_bytes_break_it(client: httpx.Client, route: str, content: bytes) -> None:
    for kind in ("application/json", "multipart/form-data; boundary=x", "text/plain", "x"):
        response = client.post(route, content=content, headers={"content-type": kind})
        assert response.status_code in (400, 413, 415, 422), response.text
