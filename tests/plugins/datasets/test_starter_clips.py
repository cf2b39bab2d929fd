"""Clips of the pack's pictures: what their frames show, which subjects each split has, and what is asked."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from anyloom.errors import ConfigError
from anyloom.interfaces import Sample
from anyloom_starter.clip_pool import clip_pool
from anyloom_starter.clip_tasks import CLIP_TASKS
from anyloom_starter.clips_builder import ClipsBuilder
from anyloom_starter.media import click_media, flash_media, media_of_key, motion_media
from anyloom_starter.motions import FRAMES, MOTIONS, PARTS, REVERSED, click, flash, frames
from anyloom_starter.pack import load_pack, picture_pixels

TASKS = (*CLIP_TASKS, "clip-exemplar", "negation", "contradiction")
BUTTERFLY = "noto/1f98b"


def pixels() -> torch.Tensor:
    return picture_pixels(load_pack().picture(BUTTERFLY))


def builder(**options: object) -> ClipsBuilder:
    return ClipsBuilder(ClipsBuilder.Config(**{"num_queries": 2, **options}))


def said(sample: Sample) -> list[tuple[str, str, list[str]]]:
    """Who says what, with the keys of media."""
    return [(m.role, m.text, [x.key for x in m.media]) for m in sample.conversation.messages]


def near(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Whether pixels are equal but for the rounding of turned and scaled ones."""
    return int((one.int() - other.int()).abs().max()) <= 1


def test_a_moving_picture_moves_by_whole_pixels_and_leaves_white() -> None:
    picture, clip = pixels(), frames(pixels(), "move-right", "whole")
    assert clip.shape == (8, 3, 64, 64)
    assert clip.dtype == torch.uint8
    assert torch.equal(clip[0][..., :40], picture[..., 24:])
    assert torch.equal(clip[-1][..., 24:], picture[..., :40])
    assert bool((clip[-1][..., :24] == 255).all())
    assert torch.equal(frames(picture, "move-down", "whole")[-1][:, 24:], picture[:, :40])


def test_a_turn_ends_as_a_quarter_turn_and_growing_as_the_picture() -> None:
    picture = pixels()
    assert near(frames(picture, "turn-left", "whole")[-1], picture.rot90(1, (-2, -1)))
    assert near(frames(picture, "turn-right", "second")[-1], picture.rot90(-1, (-2, -1)))
    assert near(frames(picture, "grow", "whole")[-1], picture)
    small = frames(picture, "grow", "first")[0]
    ink = [float((255 - x.float()).sum()) for x in (small, picture)]
    assert ink[0] / ink[1] == pytest.approx(0.4**2, rel=0.05)


def test_a_faded_picture_has_a_tenth_of_its_ink_left() -> None:
    last = frames(pixels(), "fade-out", "whole")[-1].float()
    torch.testing.assert_close(255 - last, 0.1 * (255 - pixels().float()), atol=0.51, rtol=0)


@pytest.mark.parametrize("motion", MOTIONS)
def test_the_second_half_goes_on_and_backwards_is_the_reverse(motion: str) -> None:
    halves = torch.cat([frames(pixels(), motion, part) for part in ("first", "second")])
    assert len(halves) == 16
    assert torch.equal(halves[list(PARTS["whole"])], frames(pixels(), motion, "whole"))
    steps = [float((a.float() - b.float()).abs().mean()) for a, b in itertools.pairwise(halves)]
    assert min(steps) > 0
    if motion in REVERSED:
        assert near(frames(pixels(), motion, "whole").flip(0), frames(pixels(), REVERSED[motion], "whole"))


@pytest.mark.parametrize("moment", range(FRAMES))
def test_flash_and_click_fall_together(moment: int) -> None:
    clip, wave = flash(pixels(), moment), click(moment)
    assert torch.equal(clip[moment], pixels())
    assert int(clip.float().mean((1, 2, 3)).argmax()) == moment
    heard = wave[0].nonzero().flatten()
    assert wave.shape == (1, 40_960)
    assert int(heard[0]) // (40_960 // FRAMES) == int(heard[-1]) // (40_960 // FRAMES) == moment


def test_keys_name_media() -> None:
    picture = load_pack().picture(BUTTERFLY)
    clip = motion_media(picture, "fade-in", "first", "geometry/mirror")
    assert clip.key == "motion/fade-in/first/noto/1f98b@mirror"
    assert torch.equal(clip.tensor(), frames(pixels().flip(-1), "fade-in", "first"))
    assert torch.equal(media_of_key(flash_media(picture, 2).key).tensor(), flash(pixels(), 2))
    assert torch.equal(media_of_key(click_media(5).key).tensor(), click(5))
    assert math.isclose(len(clip.tensor()) / clip.meta["fps"], 2.56)


def test_no_subject_is_in_two_splits() -> None:
    subjects = {s: {p.subject for base in clip_pool(s).bases for p in base} for s in ("train", "choose", "test")}
    assert min(map(len, subjects.values())) > 80
    assert not subjects["train"] & subjects["choose"]
    assert not subjects["train"] & subjects["test"]
    assert not subjects["choose"] & subjects["test"]
    trained = {p.subject for p in load_pack().pictures if p.split == "train"}
    assert subjects["train"] <= trained
    assert not trained & (subjects["choose"] | subjects["test"])


@pytest.mark.parametrize("split", ["val", "choose", "test"])
def test_fixed_splits_repeat_and_their_answers_can_be_told_apart(split: str) -> None:
    samples = builder().build(split)
    assert [said(s) for s in samples] == [said(s) for s in builder().build(split)]
    assert {s.task for s in samples} == set(TASKS)
    for sample in samples:
        facts = sample.provenance
        answer = sample.conversation.messages[-1].media
        assert facts["target"] == tuple(m.key for m in answer)
        assert len(set(facts["candidates"])) == len(facts["candidates"])
        if facts["target"]:
            assert facts["target"][0] in facts["candidates"]
            assert len(facts["candidates"]) > 5
        if "source" in facts:
            assert facts["source"] in facts["candidates"]


def test_examples_show_the_motion_with_training_subjects() -> None:
    trained = {p.key for base in clip_pool("train").bases for p in base}
    for sample in builder(tasks={"clip-exemplar": 1}).build("test"):
        *shown, answer = [m.media[0].key for m in sample.conversation.messages if m.role == "assistant"]
        assert len(shown) == sample.provenance["k"]
        assert {key.split("/")[1] for key in (*shown, answer)} == {sample.provenance["operation"]}
        assert {key.split("/", 3)[3] for key in shown} <= trained
        assert answer.split("/", 3)[3] not in trained


def test_what_is_refused_is_not_done() -> None:
    for sample in builder(tasks={"negation": 1, "contradiction": 1}, num_queries=12).build("choose"):
        facts = sample.provenance
        source, target, refused = (
            media_of_key(k).tensor() for k in (facts["source"], facts["target"][0], facts["refused"])
        )
        assert not torch.equal(target, refused)
        assert not torch.equal(target, source)
        assert not torch.equal(refused, source)


def test_sounds_go_with_what_they_come_from() -> None:
    links = {(sound.key, picture.key) for sound, picture in load_pack().links}
    tasks = {"clip-with-sound": 1, "next-with-sound": 1, "picture-to-sound": 1, "sound-to-picture": 1}
    for sample in builder(tasks=tasks, num_queries=6).build("val"):
        keys = [m.key for m in sample.conversation.media]
        sound = next(key.removeprefix("sound/") for key in keys if key.startswith("sound/"))
        picture = next(
            key.split("/", 3)[3] if key.startswith("motion/") else key for key in keys if "sound/" not in key
        )
        assert (sound, picture) in links


def test_training_samples_depend_on_seed_epoch_and_index_alone() -> None:
    one, other = builder(num_samples=40).build("train"), builder(num_samples=40).build("train", epoch=1)
    assert [said(one[n]) for n in range(40)] == [said(one[n]) for n in range(40)]
    assert [said(one[n]) for n in range(40)] != [said(other[n]) for n in range(40)]
    with pytest.raises(IndexError):
        one[40]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"tasks": {"clip-nxt": 1}}, "did you mean 'clip-next'"),
        ({"tasks": {"clip-next": 0}}, "at least one must have a weight above zero"),
        ({"edits": ("geometry/miror", "colour/grey")}, "did you mean 'geometry/mirror'"),
    ],
)
def test_wrong_options_say_what_is_right(options: dict[str, object], words: str) -> None:
    from anyloom.building import build

    with pytest.raises(ConfigError, match=words):
        build("dataset", "starter-clips", options)


def test_there_is_no_other_split() -> None:
    with pytest.raises(ConfigError, match="train, val, choose, test"):
        builder().build("report")
