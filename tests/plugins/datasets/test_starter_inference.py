"""Prompts of CoBSAT's form from pictures of the starter pack."""

from __future__ import annotations

import pytest

from anyloom.conversation import Media, Text
from anyloom.errors import ConfigError
from anyloom.interfaces import Sample
from anyloom_starter.inference import THEMES, InferenceBuilder
from anyloom_starter.pack import load_pack


def built(split: str = "test", **options: object) -> list[Sample]:
    return InferenceBuilder.from_options({"num_queries": 6, **options}).build(split)


def script(sample: Sample) -> str:
    parts = sample.conversation.messages[0].segments
    return "".join(p.text if isinstance(p, Text) else f"[{p.key}] " for p in parts)


def test_a_prompt_is_words_with_pictures_and_a_word_more() -> None:
    (one,) = built(num_queries=1, themes=["turn"], examples=[2])[:1]
    drawing = {p.name: p.key for p in load_pack().pictures if p.style == "noto" and p.tone == "none"}
    edits = {
        "mirrored": "mirror",
        "upside down": "upside-down",
        "turned left": "turn-left",
        "turned right": "turn-right",
    }
    facts = one.provenance
    hidden = edits[facts["choices"]["inferred"][facts["chosen"]["inferred"]]]
    shown = [s.text.removesuffix(": ") for s in one.conversation.messages[0].segments if isinstance(s, Text)]
    pictures = "".join(f"{word}: [{drawing[word]}@{hidden}] " for word in shown[:2])
    assert script(one) == f"{pictures}{shown[2]}: "
    assert [m.key for m in one.conversation.messages[1].media] == [f"{drawing[shown[2]]}@{hidden}"]
    assert shown[2] == facts["choices"]["given"][facts["chosen"]["given"]]
    assert len(set(shown)) == 3


def test_every_number_of_examples_asks_the_same() -> None:
    samples = built(examples=[0, 1, 8])
    assert len(samples) == 6 * 3 * 2 * 3
    for none, one, most in zip(samples[::3], samples[1::3], samples[2::3]):
        assert script(most).startswith(script(one).rpartition("] ")[0])
        assert script(most).endswith(script(none))
        assert {s.conversation.messages[1].media[0].key for s in (none, one, most)} == set(most.provenance["target"])
        assert [len(s.conversation.prompt().media) for s in (none, one, most)] == [0, 1, 8]


def test_the_target_stands_in_its_place_of_the_grid() -> None:
    for sample in built(examples=[1]):
        grid, chosen = sample.provenance["grid"], sample.provenance["chosen"]
        assert (grid[chosen["given"]][chosen["inferred"]],) == sample.provenance["target"]
        keys = [key for row in grid for key in row]
        assert len(set(keys)) == len(keys)


def test_pictures_of_a_grid_differ_and_were_seen_in_training() -> None:
    builder = InferenceBuilder.from_options({"num_queries": 1})
    for sample in builder.build("test"):
        keys = [key for row in sample.provenance["grid"] for key in row]
        assert len({bytes(builder.media(key).tensor().numpy()) for key in keys}) == len(keys)
        assert {load_pack().picture(key.partition("@")[0]).split for key in keys} == {"train"}


def test_val_has_other_prompts_and_there_is_no_training() -> None:
    first, second = ({script(s) for s in built(split, examples=[8])} for split in ("val", "test"))
    assert not first & second
    assert built()
    assert [script(s) for s in built()] == [script(s) for s in built()]
    with pytest.raises(ConfigError, match="val or test"):
        built("train")
    with pytest.raises(ConfigError, match="no theme 'size'"):
        built(themes=["size"])
    assert set(THEMES) == {"tone", "colour", "turn"}
    assert isinstance(built()[0].conversation.messages[1].media[0], Media)
