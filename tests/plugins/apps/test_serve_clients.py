"""The official client drives every route of a real server; answers are those of the model asked directly."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy
import openai
import pytest
import soundfile
from PIL import Image

from anyloom import Conversation, Message
from anyloom.media.shipped import sample
from anyloom_serve.wire import data_address

EDIT = "Turn it upside down."


@pytest.fixture(scope="module")
def server(serving: Callable[..., Any]) -> Any:
    return serving()


@pytest.fixture(scope="module")
def client(server: Any) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0)


def hat() -> str:
    content = Path(sample("hat").path).read_bytes()
    return f"data:image/png;base64,{base64.b64encode(content).decode()}"


def asked(*parts: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"role": "user", "content": list(parts)}]


def text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words}


def picture(url: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url}}


def pixels(url: str) -> numpy.ndarray:
    return numpy.asarray(Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))))


def test_models_are_listed(client: openai.OpenAI) -> None:
    (model,) = client.models.list().data
    assert model.id == "anyloom"
    assert model.modalities == ["text", "audio", "image"]  # type: ignore[attr-defined]


def test_a_picture_is_edited_as_the_model_itself_does(client: openai.OpenAI, server: Any) -> None:
    made = client.chat.completions.create(
        model="anyloom", messages=asked(picture(hat()), text(EDIT)), seed=5, extra_body={"plan": ["image"]}
    )
    (part,) = made.choices[0].message.images  # type: ignore[attr-defined]
    prompt = Conversation([Message("user", [sample("hat"), EDIT])])
    alone = server.model.generate(prompt, plan=("image",), seed=5)
    expected = pixels(data_address(alone.media[0]))
    assert numpy.abs(pixels(part["image_url"]["url"]).astype(int) - expected.astype(int)).max() <= 1
    assert made.usage is not None
    assert made.usage.prompt_tokens == len(server.model.interleaver()(prompt, open_answer=True))


def test_a_conversation_goes_on_with_what_was_answered(client: openai.OpenAI) -> None:
    first = client.chat.completions.create(
        model="anyloom", messages=asked(picture(hat()), text(EDIT)), seed=5, extra_body={"plan": ["image"]}
    )
    answer = {"role": "assistant", "content": first.choices[0].message.parts}  # type: ignore[attr-defined]
    messages = [*asked(picture(hat()), text(EDIT)), answer, *asked(text("Make it darker."))]
    second = client.chat.completions.create(model="anyloom", messages=messages, seed=5, extra_body={"plan": ["image"]})
    before, after = (pixels(m.choices[0].message.images[0]["image_url"]["url"]) for m in (first, second))
    assert before.shape == after.shape == (64, 64, 3)
    assert not numpy.array_equal(before, after)


def test_text_is_streamed_and_equals_the_whole_answer(client: openai.OpenAI) -> None:
    ask: dict[str, Any] = {"model": "anyloom", "messages": asked(picture(hat()), text("What is this?")), "seed": 1}
    whole = client.chat.completions.create(**ask, modalities=["text"])
    pieces = list(
        client.chat.completions.create(**ask, modalities=["text"], stream=True, stream_options={"include_usage": True})
    )
    streamed = "".join(c.choices[0].delta.content or "" for c in pieces if c.choices)
    assert streamed
    assert streamed == whole.choices[0].message.content
    assert pieces[-1].usage == whole.usage
    assert sum(bool(c.choices and c.choices[0].delta.content) for c in pieces) > 1


def test_media_come_in_a_stream_as_soon_as_they_are_made(client: openai.OpenAI) -> None:
    pieces = list(
        client.chat.completions.create(
            model="anyloom",
            messages=asked(picture(hat()), text(EDIT)),
            seed=5,
            stream=True,
            extra_body={"plan": ["image"]},
        )
    )
    deltas = [c.choices[0].delta.model_dump() for c in pieces]
    begun = next(n for n, d in enumerate(deltas) if d.get("begun") == "image")
    there = next(n for n, d in enumerate(deltas) if d.get("images"))
    assert begun < there
    assert pixels(deltas[there]["images"][0]["image_url"]["url"]).shape == (64, 64, 3)
    assert pieces[-1].choices[0].finish_reason == "stop"


def test_sound_goes_in_and_out(client: openai.OpenAI) -> None:
    content = Path(sample("bell").path).read_bytes()
    form = Path(sample("bell").path).suffix[1:]
    sound = {"type": "input_audio", "input_audio": {"data": base64.b64encode(content).decode(), "format": form}}
    made = client.chat.completions.create(
        model="anyloom",
        messages=asked(sound, text("Make it louder.")),
        modalities=["audio"],
        audio={"format": "wav", "voice": "x"},
    )
    audio = made.choices[0].message.audio
    assert audio is not None
    wave, rate = soundfile.read(io.BytesIO(base64.b64decode(audio.data)))
    assert rate == 16000
    assert wave.size > 1000


def test_pictures_are_drawn_and_edited(client: openai.OpenAI, server: Any) -> None:
    drawn = client.images.generate(
        model="anyloom", prompt="Draw this: red heart, noto style.", n=2, extra_body={"seed": 3}
    )
    assert drawn.data is not None
    shapes = [pixels(f"x,{d.b64_json}").shape for d in drawn.data]
    assert shapes == [(64, 64, 3)] * 2
    assert drawn.data[0].b64_json != drawn.data[1].b64_json
    with open(sample("hat").path, "rb") as file:
        edited = client.images.edit(model="anyloom", image=file, prompt=EDIT, extra_body={"seed": 5})
    assert edited.data is not None
    prompt = Conversation([Message("user", [sample("hat"), EDIT])])
    expected = pixels(data_address(server.model.generate(prompt, plan=("image",), seed=5).media[0]))
    assert numpy.abs(pixels(f"x,{edited.data[0].b64_json}").astype(int) - expected.astype(int)).max() <= 1


def test_several_pictures_are_edited_in_their_order(client: openai.OpenAI, server: Any) -> None:
    with open(sample("hat").path, "rb") as one, open(sample("hat").path, "rb") as two:
        edited = client.images.edit(model="anyloom", image=[one, two], prompt=EDIT, extra_body={"seed": 5})
    assert edited.data is not None
    prompt = Conversation([Message("user", [sample("hat"), sample("hat"), EDIT])])
    expected = pixels(data_address(server.model.generate(prompt, plan=("image",), seed=5).media[0]))
    assert numpy.abs(pixels(f"x,{edited.data[0].b64_json}").astype(int) - expected.astype(int)).max() <= 1
    assert "no picture" in httpx.post(f"{server.url}/v1/images/edits", data={"prompt": EDIT}).text


def test_speech_is_the_sound_that_the_words_ask_for(client: openai.OpenAI) -> None:
    made = client.audio.speech.create(
        model="anyloom", voice="none", input="Play this: crow cawing.", response_format="wav", extra_body={"seed": 1}
    )
    wave, rate = soundfile.read(io.BytesIO(made.read()))
    assert (rate, wave.ndim) == (16000, 1)


def test_the_same_seed_gives_the_same_answer(client: openai.OpenAI) -> None:
    ask: dict[str, Any] = {"model": "anyloom", "messages": asked(text("Draw this: red apple, noto style."))}
    one, again, other = (
        client.chat.completions.create(**ask, seed=s, extra_body={"plan": ["image"]}).choices[0].message.images  # type: ignore[attr-defined]
        for s in (4, 4, 5)
    )
    assert one == again
    assert one != other


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"modalities": ["smell"]}, "does not make 'smell'"),
        ({"max_tokens": 10**6}, "more than 1024"),
        ({"extra_body": {"tools": []}}, "Extra inputs"),
        ({"extra_body": {"plan": ["image"], "sampling": {"image": {"denoising_step": 3}}}}, "denoising_step"),
        ({"n": 99}, "more than 8"),
        ({"model": "gpt-4o"}, "no model"),
    ],
)
def test_what_is_wrong_is_said(client: openai.OpenAI, more: dict[str, Any], says: str) -> None:
    with pytest.raises(openai.BadRequestError, match=says):
        client.chat.completions.create(**{"model": "anyloom", "messages": asked(text("hello")), **more})


@pytest.mark.parametrize(
    "part",
    [
        picture("data:image/png;base64,AAAA"),
        picture("data:image/png;base64,%%%"),
        picture("data:image/svg+xml;base64,PHN2Zy8+"),
        picture("data:image/png,abc"),
        picture("http://127.0.0.1/x.png"),
        picture("file:///etc/passwd"),
        {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
        {"type": "input_audio", "input_audio": {"data": 7, "format": "wav"}},
        {"type": "image", "path": "/etc/passwd"},
        {"type": "image_url", "image_url": "x"},
        "hello",
    ],
)
def test_what_is_no_medium_is_named(server: Any, part: Any) -> None:
    body = {"model": "anyloom", "messages": [{"role": "user", "content": [part]}]}
    response = httpx.post(f"{server.url}/v1/chat/completions", json=body)
    assert response.status_code == 400
    error = response.json()["error"]
    assert error["param"] == "messages[0].content[0]"
    assert "/tmp" not in error["message"]


@pytest.mark.parametrize(("page", "picture"), [("docs/guide/serving.md", "answer.png"), ("README.md", "apple.png")])
def test_examples_of_the_pages_run(
    server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, page: str, picture: str
) -> None:
    text = (Path(__file__).parents[3] / page).read_text(encoding="utf-8")
    blocks = [block.split("```")[0] for block in text.split("```python\n")[1:]]
    (example,) = [block for block in blocks if "import openai" in block]
    monkeypatch.chdir(tmp_path)
    exec(compile(example.replace("http://127.0.0.1:8000", server.url), page, "exec"), {})
    with Image.open(tmp_path / picture) as made:
        assert made.size == (64, 64)
