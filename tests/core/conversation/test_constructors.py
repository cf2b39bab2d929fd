"""What conversations and media are made of: the wrong type gives an error that says what to give instead."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import anyloom
import anyloom.media  # gives media their files
from anyloom.conversation import Conversation, Media, Message, Text
from anyloom.errors import AnyloomError, ConversationError, MediaError

PICTURE = Image.new("RGB", (4, 2), (255, 0, 51))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Conversation("hello"), "expected a list of messages, got the string 'hello'"),  # type: ignore[arg-type]
        (lambda: Conversation(Message("user", "hi")), "put it in a list"),  # type: ignore[arg-type]
        (lambda: Conversation(["hello"]), "message 0 is the string 'hello'"),  # type: ignore[list-item]
        (lambda: Conversation(None), "expected a list of messages"),  # type: ignore[arg-type]
        (lambda: Conversation([{"role": "user"}]), "message 0 is of type dict"),  # type: ignore[list-item]
        (lambda: Message("robot", "hi"), "no role is called 'robot'.*system, user, assistant"),  # type: ignore[arg-type]
        (lambda: Message("user", [PICTURE]), r"segment 0 is of type Image.*Media.from_pil"),  # type: ignore[list-item]
        (lambda: Message("user", ["a", np.zeros(3)]), "segment 1 is of type ndarray"),  # type: ignore[list-item]
        (lambda: Message("user", 3), "expected a list of text and media"),  # type: ignore[arg-type]
        (lambda: Message("user", Media("image")), "put it in a list"),  # type: ignore[arg-type]
        (lambda: Message("user", {"type": "text"}), "expected a list"),  # type: ignore[arg-type]
        (lambda: Text(3), "text must be a string, got int"),  # type: ignore[arg-type]
        (lambda: Text("a\ud800b"), "character 1 of the text is no character of Unicode"),
        (lambda: Message("user", "half \udc00 a pair"), "no character of Unicode"),
    ],
)
def test_wrong_parts_of_a_conversation(make: Any, message: str) -> None:
    with pytest.raises(ConversationError, match=message):
        make()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"modality": 3}, "modality must be a name, got 3"),
        ({"modality": ""}, "modality must be a name"),
        ({"data": np.zeros((3, 2, 2))}, "data must be a tensor, got ndarray.*torch.from_numpy"),
        ({"data": PICTURE}, "data must be a tensor, got Image.*Media.from_pil"),
        ({"data": "hat.png"}, "data must be a tensor, got 'hat.png'"),
        ({"loader": 3}, "loader must be a function"),
        ({"path": 3}, "path must be a path"),
        ({"key": None}, "key must be a string"),
        ({"meta": [("fps", 2)]}, "meta must be numbers by name"),
        ({"meta": {"fps": "two"}}, r"meta\['fps'\] must be a finite number, got 'two'"),
        ({"meta": {"sample_rate": float("nan")}}, "must be a finite number"),
        ({"features": [1.0]}, "features must be a tensor"),
    ],
)
def test_wrong_parts_of_media(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(MediaError, match=message):
        Media(**{"modality": "image", **arguments})


def test_media_without_data_say_so() -> None:
    for ask in (Media.tensor, Media.length, Media.sample, Media.pil):
        with pytest.raises(MediaError, match="neither data nor a loader"):
            ask(Media("image"))


def test_a_pillow_picture_becomes_media_by_its_own_constructor() -> None:
    media = Media.from_pil(PICTURE)
    assert media.modality == "image"
    assert media.tensor()[:, 1, 3].tolist() == [255, 0, 51]
    assert Message("user", ["look: ", media]).media == [media]
    with pytest.raises(MediaError, match="must be a Pillow picture, got ndarray"):
        Media.from_pil(np.zeros((2, 2, 3)))  # type: ignore[arg-type]


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "I;16", "I", "F"])
def test_every_mode_of_pillow_is_white_where_it_is_white(mode: str) -> None:
    white = {"I;16": 65535, "I": 65535, "F": 1.0}.get(mode)
    picture = Image.new(mode, (3, 2), white) if white else Image.new("RGB", (3, 2), "white").convert(mode)
    data = Media.from_pil(picture).tensor()
    assert data.shape == (3, 2, 3)
    assert float(data.min()) == (255 if data.dtype == torch.uint8 else 1)


def test_there_and_back_by_pillow() -> None:
    data = torch.randint(0, 256, (3, 5, 7), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    picture = Media("image", data).pil()
    assert picture.size == (7, 5)
    assert picture.getpixel((6, 4)) == tuple(data[:, 4, 6].tolist())
    assert torch.equal(Media.from_pil(picture).tensor(), data)


def test_no_picture_no_pillow() -> None:
    with pytest.raises(MediaError, match=r"expected a tensor \(3, H, W\), got \(1, 100\)"):
        Media("image", torch.zeros(1, 100)).pil()
    with pytest.raises(MediaError, match="audio is no picture"):
        Media("audio", torch.zeros(1, 100)).pil()
    with pytest.raises(MediaError, match="audio is made of no picture"):
        Media.from_pil(PICTURE, "audio")


def test_steps_of_media_that_are_held() -> None:
    media = Media("video", torch.arange(4).view(4, 1, 1, 1).expand(4, 3, 2, 2))
    assert media.length() == 4
    assert media.sample([3, 0, 0])[:, 0, 0, 0].tolist() == [3, 0, 0]
    assert torch.equal(media.sample(), media.tensor())
    for wrong in ([4], [-1]):
        with pytest.raises(MediaError, match="there are 4 steps"):
            media.sample(wrong)


def test_media_print_their_shape_and_not_their_numbers() -> None:
    text = repr(Media("image", torch.zeros(3, 200, 200), path="hat.png"))
    assert text == "Media('image', (3, 200, 200) torch.float32, 'hat.png')"


def test_media_and_messages_travel_between_processes() -> None:
    message = Message("user", ["look", Media("image", torch.ones(3, 1, 1), meta={"a": 1})])
    back = pickle.loads(pickle.dumps(message))
    assert (back.text, back.media[0].meta) == ("look", {"a": 1})
    assert torch.equal(back.media[0].tensor(), message.media[0].tensor())


def test_notebooks_show_media_in_their_places() -> None:
    media = Media.from_pil(PICTURE)
    shown = anyloom.Conversation([anyloom.Message("user", ["<b>is it</b>", media, "?"])])._repr_html_()
    assert "&lt;b&gt;is it&lt;/b&gt;" in shown
    assert shown.index("&gt;") < shown.index("data:image/png;base64,") < shown.index("?</p>")
    assert "features only" in Media("image", features=torch.zeros(1, 4))._repr_html_()
    broken = Media("image", torch.full((3, 2, 2), torch.nan))._repr_html_()
    assert "NaN" in broken, "the reason, not a traceback"


def test_public_names_are_listed_for_completion() -> None:
    for name in anyloom.__all__:
        assert name in dir(anyloom)
        assert getattr(anyloom, name) is not None
    assert {"AnyToAnyModel", "read_media", "write_media", "sample", "Message"} <= set(dir(anyloom))


def test_media_that_ship() -> None:
    hat, bell = anyloom.sample("hat"), anyloom.sample("bell")
    assert (hat.modality, hat.tensor().shape) == ("image", (3, 192, 192))
    red, _, blue = hat.tensor()[:, 80, 96]  # the middle of the crown
    assert red > 0.7 > 0.3 > blue
    assert bell.tensor().shape == (1, bell.meta["sample_rate"]), "one second"
    with pytest.raises(AnyloomError, match="no sample is called 'cat'"):
        anyloom.sample("cat")
