"""Answers of a server say what made them; the file of a medium alone is enough to make it again, bit by bit."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openai
import pytest

from anyloom.cli.model_argument import shipped_weights
from anyloom.media import note_of
from anyloom.media.shipped import sample
from anyloom.replay.again import replay, unpacked
from anyloom.replay.record import made_by
from anyloom.storage.hashes import sha256
from anyloom_chat.showing import main as show
from anyloom_chat.showing import record_of


@pytest.fixture(scope="module")
def noting(serving: Callable[..., Any], shipped: Any) -> Any:
    return serving(made_by=made_by(shipped, "mini", shipped_weights()))


def client_of(server: Any) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0)


def picture_part(content: bytes) -> dict[str, Any]:
    url = f"data:image/png;base64,{base64.b64encode(content).decode()}"
    return {"type": "image_url", "image_url": {"url": url}}


def saved(url: str, file: Path) -> Path:
    file.write_bytes(base64.b64decode(url.partition(",")[2]))
    return file


def again(file: Path, model: Any) -> list[tuple[str, ...]]:
    """Differences of every turn that the file's note tells of, and whether the segment is the file's own."""
    record = record_of(file)
    with unpacked(record, file.parent) as root:
        return [turn.differences for turn in replay(model, record, root, str(file))]


def test_a_picture_is_made_again_from_its_file_alone_and_so_is_an_edit_of_it(noting: Any, tmp_path: Path) -> None:
    asked: dict[str, Any] = {"model": "anyloom", "seed": 5, "extra_body": {"plan": ["image"]}}
    hat = picture_part(Path(sample("hat").path).read_bytes())
    question = {"role": "user", "content": [hat, {"type": "text", "text": "Turn it upside down."}]}
    client = client_of(noting)
    first = client.chat.completions.create(messages=[question], **asked)
    assert first.made_by == {"model": "mini", "sha256": sha256(shipped_weights() / "config.json"), "seed": 5}  # type: ignore
    one = saved(first.choices[0].message.images[0]["image_url"]["url"], tmp_path / "one.png")  # type: ignore
    assert again(one, noting.model) == [()]
    more = {"role": "assistant", "content": [picture_part(one.read_bytes())]}
    second = client.chat.completions.create(
        messages=[question, more, {"role": "user", "content": "Make it grey."}], **asked
    )
    two = saved(second.choices[0].message.images[0]["image_url"]["url"], tmp_path / "two.png")  # type: ignore
    assert again(two, noting.model) == [()]
    assert not any(b"anyloom_record" in base64.b64decode(given) for given in record_of(two).files.values())


def test_a_medium_of_a_stream_tells_of_the_answer_up_to_it(
    noting: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chunks = client_of(noting).chat.completions.create(
        model="anyloom",
        messages=[{"role": "user", "content": "Draw this: red apple, noto style."}],
        seed=3,
        stream=True,
        extra_body={"plan": ["text", "image", "text"]},
    )
    (url,) = [p["image_url"]["url"] for c in chunks for p in getattr(c.choices[0].delta, "images", None) or ()]
    file = saved(url, tmp_path / "streamed.png")
    assert record_of(file).turns[0].cut
    assert again(file, noting.model) == [()]
    assert show([str(file)]) == 0
    shown = capsys.readouterr().out
    assert all(words in shown for words in ("red apple", "model: mini", "Server: up to 16"))


def test_routes_of_media_say_it_too_and_a_server_without_notes_says_nothing(
    noting: Any, serving: Callable[..., Any], tmp_path: Path
) -> None:
    sound = tmp_path / "crow.wav"
    sound.write_bytes(client_of(noting).audio.speech.create(model="anyloom", voice="none", input="crow").content)
    assert again(sound, noting.model) == [()]
    hat = Path(sample("hat").path)
    edits = client_of(noting).images.edit(model="anyloom", image=hat, prompt="Make it grey.", extra_body={"seed": 4})
    file = saved("," + edits.data[0].b64_json, tmp_path / "grey.png")  # type: ignore
    assert again(file, noting.model) == [()]
    assert edits.made_by["seed"] == 4  # type: ignore
    silent = client_of(serving()).images.generate(model="anyloom", prompt="red apple")
    assert not note_of(saved("," + silent.data[0].b64_json, tmp_path / "silent.png"))  # type: ignore
    assert not hasattr(silent, "made_by")
