"""The OpenAPI page holds: bodies drawn from its schemas never make the server fail, and what comes is as it says."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import httpx
import jsonschema
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from tests.plugins.apps.test_serve_fuzz import ANY, HAT

Schema = Mapping[str, Any]
JSON_ROUTES = ("/v1/chat/completions", "/v1/images/generations", "/v1/audio/speech")


@pytest.fixture(scope="module")
def client(serving: Callable[..., Any]) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=serving().url, timeout=60) as client:
        yield client


@pytest.fixture(scope="module")
def page(client: httpx.Client) -> Any:
    return client.get("/openapi.json").json()


class Drawn:
    """Values that a JSON schema allows.

    Args:
        page: The document, whose ``components`` are referred to.
        known: Values by the name of a property that strings are drawn from at times: words alone rarely get far.
    """

    def __init__(self, page: Any, known: Mapping[str, st.SearchStrategy[Any]]) -> None:
        self.page, self.known = page, known

    def __call__(self, schema: Schema, name: str = "") -> st.SearchStrategy[Any]:
        if "$ref" in schema:
            return st.deferred(lambda: self(self._named(schema["$ref"]), name))
        if "const" in schema:
            return st.just(schema["const"])
        if "enum" in schema:
            return st.sampled_from(schema["enum"])
        if "anyOf" in schema:
            return st.one_of([self(one, name) for one in schema["anyOf"]])
        return self._of_type(schema, name)

    def _named(self, reference: str) -> Any:
        return self.page["components"]["schemas"][reference.rpartition("/")[2]]

    def _of_type(self, schema: Schema, name: str) -> st.SearchStrategy[Any]:
        kind = schema.get("type")
        if kind == "object":
            return self._object(schema)
        if kind == "array":
            return st.lists(self(schema["items"], name), min_size=schema.get("minItems", 0), max_size=3)
        if kind == "string":
            words = st.text(min_size=schema.get("minLength", 0), max_size=12)
            return self.known[name] | words if name in self.known else words
        if kind == "integer":
            most = schema.get("maximum", schema.get("exclusiveMaximum", 2**70) - 1)
            return st.integers(int(schema.get("minimum", -(2**70))), int(most)) | st.integers(1, 3)
        if kind == "number":
            above = "exclusiveMinimum" in schema
            least = schema.get("exclusiveMinimum", schema.get("minimum"))
            return st.floats(least, schema.get("maximum"), exclude_min=above, allow_nan=False, allow_infinity=False)
        return {"boolean": st.booleans(), "null": st.none()}.get(str(kind), ANY)

    def _object(self, schema: Schema) -> st.SearchStrategy[Any]:
        values = {name: self(one, name) for name, one in schema.get("properties", {}).items()}
        required = set(schema.get("required", ()))
        drawn = st.fixed_dictionaries(
            {name: value for name, value in values.items() if name in required},
            optional={name: value for name, value in values.items() if name not in required},
        )
        more = schema.get("additionalProperties", False)
        if not values and more:
            names = st.sampled_from(["image", "audio", "denoising_steps", "guidance"]) | st.text(max_size=8)
            return st.dictionaries(names, ANY if more is True else self(more), max_size=2)
        return drawn


SOUND = "UklGRiQAAABXQVZFZm10IBAAAAABAAEAgD4AAAB9AAACABAAZGF0YQAAAAA="
KNOWN = {
    "url": st.just(HAT) | st.sampled_from([HAT[:500], "data:video/mp4;base64,AAAA", "http://127.0.0.1/"]),
    "data": st.just(SOUND),
    "format": st.sampled_from(["wav", "mp3"]),
    "model": st.just("anyloom"),
    "plan": st.sampled_from(["text", "image", "audio", "video"]),
    "modalities": st.sampled_from(["text", "image", "audio", "video"]),
}


def body_schema(page: Any, route: str) -> Any:
    return page["paths"][route]["post"]["requestBody"]["content"]["application/json"]["schema"]


def is_as_the_page_says(page: Any, route: str, method: str, response: httpx.Response) -> None:
    """The status is no failure, and the body is one that the page shows for it."""
    assert response.status_code < 500, response.text
    responses = page["paths"][route][method]["responses"]
    shown = responses.get(str(response.status_code)) or responses["default"]
    kind = response.headers["content-type"].partition(";")[0]
    assert kind in shown["content"], (kind, response.status_code)
    if kind == "application/json":
        schema = {**shown["content"][kind]["schema"], "components": page["components"]}
        jsonschema.Draft202012Validator(schema).validate(response.json())


def ask(client: httpx.Client, page: Any, data: st.DataObject) -> None:
    route = data.draw(st.sampled_from(JSON_ROUTES))
    schema = body_schema(page, route)
    body = data.draw(Drawn(page, KNOWN)(schema))
    if data.draw(st.booleans()):  # all options at once are rarely right together
        required = page["components"]["schemas"][schema["$ref"].rpartition("/")[2]]["required"]
        body = {name: value for name, value in body.items() if name in {*required, data.draw(st.sampled_from([*body]))}}
    if isinstance(body.get("max_tokens"), int):
        body["max_tokens"] %= 4
    try:
        content = json.dumps(body, allow_nan=False).encode()
    except ValueError:
        return  # within ANY: no JSON
    response = client.post(route, content=content, headers={"content-type": "application/json"})
    event(f"{route} {response.status_code}")
    is_as_the_page_says(page, route, "post", response)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_no_body_that_the_page_allows_makes_it_fail(client: httpx.Client, page: Any, data: st.DataObject) -> None:
    ask(client, page, data)


@pytest.mark.slow
@settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_nor_do_many(client: httpx.Client, page: Any, data: st.DataObject) -> None:
    ask(client, page, data)


def test_drawn_bodies_are_allowed_by_the_page(page: Any) -> None:
    """The drawing is right: another library finds the bodies valid."""

    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(data=st.data())
    def check(data: st.DataObject) -> None:
        schema = body_schema(page, data.draw(st.sampled_from(JSON_ROUTES)))
        body = data.draw(Drawn(page, KNOWN)(schema))
        jsonschema.Draft202012Validator({**schema, "components": page["components"]}).validate(body)

    check()


def test_answers_of_every_route_are_as_the_page_says(client: httpx.Client, page: Any) -> None:
    picture = {"type": "image_url", "image_url": {"url": HAT}}
    chat = {
        "messages": [{"role": "user", "content": [picture, {"type": "text", "text": "Turn it upside down."}]}],
        "max_tokens": 2,
    }
    asks: dict[str, list[dict[str, Any]]] = {
        "/v1/chat/completions": [
            {**chat, "plan": ["text", "image", "audio"], "n": 2},
            {**chat, "modalities": ["text"], "stream": True},
        ],
        "/v1/images/generations": [{"prompt": "red apple", "n": 2}],
        "/v1/audio/speech": [{"input": "crow"}],
    }
    for route, bodies in asks.items():
        for body in bodies:
            response = client.post(route, json=body)
            assert response.status_code == 200, response.text
            is_as_the_page_says(page, route, "post", response)
    for route in ("/health", "/metrics", "/v1/models"):
        is_as_the_page_says(page, route, "get", client.get(route))
    files = {"image": ("a.png", b"no picture", "image/png")}
    is_as_the_page_says(
        page, "/v1/images/edits", "post", client.post("/v1/images/edits", data={"prompt": "x"}, files=files)
    )
    assert client.get("/v1/chat/completions").headers["allow"] == "POST"
    assert {*asks, "/health", "/metrics", "/v1/models", "/v1/images/edits"} == set(page["paths"])


def test_the_page_describes_every_part_and_the_key(
    client: httpx.Client, page: Any, serving: Callable[..., Any]
) -> None:
    message = page["components"]["schemas"]["ShownMessage"]["properties"]["content"]
    (parts,) = [one["items"]["anyOf"] for one in message["anyOf"] if one.get("type") == "array"]
    schemas = [page["components"]["schemas"][part["$ref"].rpartition("/")[2]] for part in parts]
    assert {schema["properties"]["type"]["const"] for schema in schemas} == {
        "text", "image_url", "video_url", "input_audio",
    }  # fmt: skip
    assert "securitySchemes" not in page["components"]
    locked = serving(key="k").url
    closed = httpx.get(f"{locked}/openapi.json", headers={"Authorization": "Bearer k"}).json()
    guarded = {path for path, methods in closed["paths"].items() for how in methods.values() if how.get("security")}
    assert guarded == set(page["paths"]) - {"/health"}
