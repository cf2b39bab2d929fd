"""Clips over the wire, with the paper's model in tiny sizes: in as data addresses, out as MP4, within limits."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import openai
import pytest
from scripts.make_tiny_codi2 import write

from anyloom import AnyToAnyModel, Conversation, Message, read_media
from anyloom_serve.limits import Limits

av = pytest.importorskip("av")
TINY = str(Path(__file__).parents[3] / "scripts" / "tiny_codi2.yaml")
BRIGHTNESS = (0.299, 0.587, 0.114)
ASK = "Slow it down."


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny")
    write(folder)
    return folder


@pytest.fixture(scope="module")
def model(folder: Path) -> AnyToAnyModel:
    places = [f"variables.{name}={folder / name}" for name in ("checkpoints", "data", "run")]
    return AnyToAnyModel.from_config(TINY, places).eval()


@pytest.fixture(scope="module")
def start(serving: Callable[..., Any], model: AnyToAnyModel) -> Callable[..., openai.OpenAI]:
    def client(**options: Any) -> openai.OpenAI:
        return openai.OpenAI(base_url=f"{serving(model, **options).url}/v1", api_key="none", max_retries=0)

    return client


@pytest.fixture(scope="module")
def client(start: Callable[..., openai.OpenAI]) -> openai.OpenAI:
    return start()


def clip_part(content: bytes, kind: str = "video/mp4") -> dict[str, Any]:
    return {"type": "video_url", "video_url": {"url": f"data:{kind};base64,{base64.b64encode(content).decode()}"}}


def asked(*parts: Any) -> Any:
    return [{"role": "user", "content": list(parts)}]


def encoded(count: int, height: int, width: int, rate: int = 8) -> bytes:
    """A clip of one colour, by PyAV alone."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=rate)
        stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
        for _ in range(count):
            frame = av.VideoFrame.from_ndarray(numpy.zeros((height, width, 3), numpy.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return buffer.getvalue()


def frames(content: bytes) -> numpy.ndarray:
    with av.open(io.BytesIO(content)) as container:
        return numpy.stack([1.0 * frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def frames_of(message: Message) -> numpy.ndarray:
    data = message.media[0].tensor().permute(0, 2, 3, 1)
    return (data * 255 if data.is_floating_point() else data).double().numpy()


def test_a_clip_goes_in_as_the_model_itself_reads_it(client: openai.OpenAI, model: AnyToAnyModel, folder: Path) -> None:
    clip = folder / "data" / "0-target.mp4"
    made = client.chat.completions.create(
        model="anyloom",
        messages=asked(clip_part(clip.read_bytes()), {"type": "text", "text": ASK}),
        seed=5,
        extra_body={"plan": ["video"]},
    )
    (part,) = made.choices[0].message.videos  # type: ignore[attr-defined]
    kind, _, data = part["video_url"]["url"].partition(",")
    assert kind == "data:video/mp4;base64"
    prompt = Conversation([Message("user", [read_media(clip), ASK])])
    assert made.usage is not None
    assert made.usage.prompt_tokens == len(model.interleaver()(prompt, open_answer=True))
    got = frames(base64.b64decode(data))
    alone, other = (frames_of(model.generate(prompt, plan=("video",), seed=seed)) for seed in (5, 6))
    assert got.shape == alone.shape
    # the file keeps brightness almost as it is, and colours at half resolution
    assert numpy.abs((got - alone) @ BRIGHTNESS).mean() < 4 < 10 < numpy.abs((got - other) @ BRIGHTNESS).mean()


def test_a_clip_that_was_answered_goes_back_and_streams(client: openai.OpenAI, folder: Path) -> None:
    clip = clip_part((folder / "data" / "0-target.mp4").read_bytes())
    pieces = list(
        client.chat.completions.create(
            model="anyloom",
            messages=asked(clip, {"type": "text", "text": ASK}),
            stream=True,
            extra_body={"plan": ["video"]},
        )
    )
    (part,) = next(d["videos"] for c in pieces if (d := c.choices[0].delta.model_dump()).get("videos"))
    messages = [*asked(clip), {"role": "assistant", "content": [part]}, *asked({"type": "text", "text": "And now?"})]
    again = client.chat.completions.create(model="anyloom", messages=messages, max_tokens=2, modalities=["text"])
    assert again.usage is not None
    assert again.usage.prompt_tokens > 2


def test_webm_is_read(client: openai.OpenAI, folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "a.webm"
    from anyloom import write_media

    write_media(read_media(folder / "data" / "0-target.mp4"), file)
    made = client.chat.completions.create(
        model="anyloom", messages=asked(clip_part(file.read_bytes(), "video/webm")), max_tokens=1, modalities=["text"]
    )
    assert made.choices[0].finish_reason == "stop"


@pytest.mark.parametrize(
    ("limits", "clip", "says"),
    [
        ({"numbers": 3 * 64 * 64 * 10}, (8, 64, 128), "max_bytes"),  # all frames together
        ({"numbers": 3 * 64 * 64 - 3}, (1, 64, 64), "pixels"),
        ({"seconds": 1.0}, (17, 16, 16), "seconds"),
        ({"medium_bytes": 100}, (1, 16, 16), "more than 100"),
        ({"media": 0}, (1, 16, 16), "more than 0 media"),
    ],
)
def test_limits_hold_for_clips(
    start: Callable[..., openai.OpenAI], limits: dict[str, Any], clip: tuple[int, int, int], says: str
) -> None:
    client = start(limits=Limits(**limits))
    with pytest.raises(openai.BadRequestError, match=says) as caught:
        client.chat.completions.create(model="anyloom", messages=asked(clip_part(encoded(*clip))))
    assert caught.value.param == "messages[0].content[0]"
    assert "/tmp" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "kind", "says"),
    [
        (encoded(4, 32, 32)[:-200], "video/mp4", "medium"),
        (b"nothing", "video/mp4", "medium"),
        (b"nothing", "video/quicktime-x", "is not read"),
    ],
)
def test_what_is_no_clip_is_named(client: openai.OpenAI, content: bytes, kind: str, says: str) -> None:
    with pytest.raises(openai.BadRequestError, match=says):
        client.chat.completions.create(model="anyloom", messages=asked(clip_part(content, kind)))


def test_a_model_that_takes_no_clips_says_so_before_it_opens_one(serving: Callable[..., Any]) -> None:
    client = openai.OpenAI(base_url=f"{serving().url}/v1", api_key="none", max_retries=0)
    with pytest.raises(openai.BadRequestError, match="takes no video; it takes text, audio, image"):
        client.chat.completions.create(model="anyloom", messages=asked(clip_part(b"never opened")))
