"""Looks at media while they are made: the answer is the one that comes unwatched, to the last bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from anyloom import AnyToAnyModel
from anyloom.building import build
from anyloom.errors import ConfigError
from anyloom.generation.events import MediumPreviewed
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
