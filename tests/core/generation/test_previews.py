"""Looks at media while they are made: the answer is the one that comes unwatched, to the last bit."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import torch

from anyloom import AnyToAnyModel
from anyloom.building import build
from anyloom.errors import ConfigError, MediaError
from anyloom.generation.events import Finished, MediumBegun, MediumMade, MediumPreviewed
from anyloom.generation.previews import watching_previews
from parts import image_decoder_options, model_options

PLAN = {"plan": ("image", "text", "image"), "max_new_tokens": 2}


@pytest.fixture
def model(tokenizer_folder: Path) -> AnyToAnyModel:
    options = model_options(tokenizer_folder, ("image",), decoders={"brush": image_decoder_options(denoising_steps=6)})
    options["modalities"]["image"]["decoder"] = "brush"
    return AnyToAnyModel.from_config({"model": options}).eval()


def test_looks_come_every_few_steps_and_change_nothing(model: AnyToAnyModel) -> None:
    unwatched = model.session(seed=4).say("paint", **PLAN)
    seen: list[MediumPreviewed] = []
    with watching_previews(seen.append, every=2):
        watched = model.session(seed=4).say("paint", **PLAN)
    assert [(event.done, event.total) for event in seen] == [(2, 6), (4, 6)] * 2
    made = [n for n, segment in enumerate(watched.segments) if segment in watched.media]
    assert [event.segment for event in seen] == [made[0]] * 2 + [made[1]] * 2
    for a, b in zip(unwatched.media, watched.media, strict=True):
        assert torch.equal(a.tensor(), b.tensor())
    for event in seen:
        assert event.media.modality == "image"
        assert event.media.tensor().shape == (3, 16, 16)
        assert 0 <= float(event.media.tensor().min()) <= float(event.media.tensor().max()) <= 1


def test_later_looks_are_nearer_to_the_picture(model: AnyToAnyModel) -> None:
    seen: list[MediumPreviewed] = []
    with watching_previews(seen.append, every=1):
        answer = model.session(seed=4).say("paint", plan=("image",))
    picture = answer.media[0].tensor()
    far = [float((event.media.tensor() - picture).square().mean()) for event in seen]
    assert far[-1] < far[0]


def test_nobody_watching_makes_no_look(model: AnyToAnyModel, monkeypatch: pytest.MonkeyPatch) -> None:
    decoder: Any = model.decoder("image")
    monkeypatch.setattr(type(decoder), "look", lambda self, latents: pytest.fail("somebody looked"))
    model.session().say("paint", **PLAN)


def test_large_latents_are_averaged_before_they_are_decoded() -> None:
    options = image_decoder_options()
    decoder = build("decoder", options.pop("name"), options)
    (look,) = decoder.look(torch.randn(1, 4, 40, 24))  # in squares of three: 14 x 8 latents, of two pixels each
    assert look.tensor().shape == (3, 28, 16)
    assert decoder.look(torch.randn(1, 4, 2, 40, 24)) == []


@pytest.mark.parametrize("every", [0, -1, 1.5, True, "2"])
def test_a_step_that_is_none_is_refused(every: Any) -> None:
    with pytest.raises(ConfigError, match="steps lie between"), watching_previews(print, every=every):
        pass


def test_a_stream_brings_looks_between_the_beginning_of_a_medium_and_its_end(model: AnyToAnyModel) -> None:
    unwatched = model.session(seed=4).say("paint", **PLAN)
    events = list(model.session(seed=4).stream("paint", previews=2, **PLAN))
    seen = [type(e) for e in events if isinstance(e, MediumBegun | MediumPreviewed | MediumMade)]
    assert seen == [MediumBegun, MediumPreviewed, MediumPreviewed, MediumMade] * 2
    finished = events[-1]
    assert isinstance(finished, Finished)
    for a, b in zip(unwatched.media, finished.message.media, strict=True):
        assert torch.equal(a.tensor(), b.tensor())


def test_a_stream_that_is_left_at_a_look_ends_its_thread_and_takes_the_turn_back(model: AnyToAnyModel) -> None:
    session, before = model.session(seed=4), threading.active_count()
    stream = session.stream("paint", previews=1, plan=("image",))
    next(e for e in stream if isinstance(e, MediumPreviewed))
    assert threading.active_count() == before + 1
    stream.close()
    assert threading.active_count() == before
    assert session.messages == []
    assert session.say("paint", plan=("image",)).media  # and it goes on


def test_what_a_decoder_raises_comes_out_of_the_stream(model: AnyToAnyModel, monkeypatch: pytest.MonkeyPatch) -> None:
    decoder: Any = model.decoder("image")
    monkeypatch.setattr(type(decoder), "generate", Mock(side_effect=MediaError("no paint is left")))
    with pytest.raises(MediaError, match="no paint is left"):
        list(model.session().stream("paint", previews=2, plan=("image",)))
    with pytest.raises(ConfigError, match="previews"):
        next(model.session().stream("paint", previews=-1))
