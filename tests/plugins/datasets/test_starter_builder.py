"""The data set made from the starter pack: what each task says, how splits are kept apart, determinism."""

from __future__ import annotations

import pickle
import re
from collections import Counter
from functools import cache

import pytest
import torch
from torch.utils.data import DataLoader

import anyloom
from anyloom.conversation import Media, Text
from anyloom.errors import ConfigError
from anyloom.interfaces import Sample
from anyloom_starter.builder import FAMILIES, StarterBuilder
from anyloom_starter.edits import PIXEL_EDITS
from anyloom_starter.pack import load_pack, picture_pixels, sound_wave
from anyloom_starter.sound_edits import MIX_GAIN, mix
from anyloom_starter.tasks import TASKS

ALL_TASKS = {*TASKS, "edit", "exemplar"}


def starter(**options: object) -> StarterBuilder:
    return StarterBuilder.from_options(options)


@cache
def held_out_samples() -> list[Sample]:
    samples = starter(num_queries=12).build("test")
    assert isinstance(samples, list)
    return samples


def script(sample: Sample) -> str:
    """The conversation as text, media as their keys in brackets."""
    return "\n".join(
        f"{message.role}: "
        + "".join(part.text if isinstance(part, Text) else f"[{part.key}]" for part in message.segments)
        for message in sample.conversation.messages
    )


def first(task: str, **options: object) -> Sample:
    return starter(tasks={task: 1}, **options).build("train")[0]


def test_is_found_by_name_and_trains_every_task() -> None:
    samples = anyloom.build("dataset", "starter", {"num_samples": 1500}).build("train")
    assert len(samples) == 1500
    counts = Counter(samples[index].task for index in range(len(samples)))
    assert set(counts) == ALL_TASKS
    assert counts["exemplar"] / 1500 == pytest.approx(0.4, abs=0.05)


@pytest.mark.parametrize(
    ("task", "pattern"),
    [
        ("picture-to-text", r"user: \[\S+/\S+\][A-Z].+[.?]\nassistant: [^\[\]]+, (noto|twemoji) style"),
        ("text-to-picture", r"user: [^\[]+(noto|twemoji) style\.\nassistant: \[\S+\]"),
        ("sound-to-text", r"user: \[sound/\w+\][A-Z].+[.?]\nassistant: [a-z][^\[\]]+"),
        ("text-to-sound", r"user: [^\[]+\.\nassistant: \[sound/\w+\]"),
        ("edit", r"user: \[\S+\][A-Z][^\[]+\.\nassistant: \[\S+\]"),
        ("sequence", r"user: (\[\S+/1f\w+\]){3}[A-Z].+[.?]\nassistant: \[\S+\]"),
        ("sound-add", r"user: \[sound/\w+\]\w.+ the sound of .+\.\nassistant: \[sound/\w+\+\w+\]"),
        ("sound-drop", r"user: \[sound/\w+\+\w+\]\w.+ the sound of .+\.\nassistant: \[sound/\w+\]"),
        ("sound-replace", r"user: \[sound/\w+\+\w+\]\w.+ the sound of .+\.\nassistant: \[sound/\w+\+\w+\]"),
        ("sound-effect", r"user: \[sound/[\w@]+\][A-Z].+\.\nassistant: \[sound/[\w@]+\]"),
        ("picture-with-sound", r"user: [^\[]+ style.+\.\nassistant: \[\w+/\S+\]\[sound/\w+\]"),
    ],
)
def test_text_of_each_task(task: str, pattern: str) -> None:
    samples = starter(tasks={task: 1}).build("train")
    for index in range(50):
        assert samples[index].task == task
        assert re.fullmatch(pattern, script(samples[index])), script(samples[index])


def test_text_of_exemplars_is_the_papers() -> None:
    picture = r"\[\S+?\]"
    pair = f"between {picture} and {picture}"
    texts = {
        0: f"user: Apply the same editing to {picture}.\nassistant: {picture}",
        1: f"user: Given the transformation {pair}, apply the same editing to {picture}.\nassistant: {picture}",
        3: f"user: Given the transformation {pair}, {pair}, {pair}, apply the same editing to {picture}."
        f"\nassistant: {picture}",
    }
    for count, pattern in texts.items():
        sample = first("exemplar", examples={count: 1})
        assert re.fullmatch(pattern, script(sample)), script(sample)
        assert sample.provenance["k"] == count


def test_both_forms_come_in_training_and_dialogue_in_the_fixed_splits() -> None:
    builder = starter(tasks={"exemplar": 1}, examples={1: 1}, form="both", num_samples=120, num_queries=1)
    turns = [len(sample.conversation.messages) for sample in builder.build("train")]
    assert set(turns) == {2, 4}
    assert 0.15 < turns.count(2) / 120 < 0.5
    assert {len(s.conversation.messages) for s in builder.build("test") if s.provenance["k"] == 1} == {4}


def test_compositions_are_two_edits_one_after_the_other() -> None:
    samples = starter(tasks={"composition": 1}, num_queries=4, test_examples=(0, 2)).build("test")
    assert [s.provenance["k"] for s in samples] == [0, 2] * 4
    sample = samples[1]
    first, second = sample.provenance["operation"].split("+")
    source, *_ = (m for m in sample.conversation.messages[-2].media[-1:])
    (target,) = sample.conversation.messages[-1].media
    expected = PIXEL_EDITS[second].apply(PIXEL_EDITS[first].apply(source.tensor()))
    assert torch.equal(target.tensor(), expected)
    assert sample.provenance["family"] == sample.task == "composition"
    assert {s.provenance["subjects"] for s in samples[::2]} == {s.provenance["subjects"] for s in samples[1::2]}
    candidates = sample.provenance["candidates"]
    assert {source.key, target.key, f"{source.key}@{first.split('/')[1]}"} <= set(candidates)


def test_pictures_come_evenly_by_base_or_by_drawing() -> None:
    """43 % of all drawings have a skin tone, and far fewer of the things drawn."""

    def toned(even: str) -> float:
        samples = starter(tasks={"picture-to-text": 1}, num_samples=400, even=even).build("train")
        return sum("tone" in s.provenance["words"] for s in samples) / 400

    assert toned("bases") < 0.25
    assert toned("drawings") > 0.35


def test_dialogue_form_makes_every_pair_a_turn() -> None:
    sample = first("exemplar", examples={2: 1}, form="dialogue")
    assert [message.role for message in sample.conversation.messages] == ["user", "assistant"] * 3
    assert script(sample).count("pply the same editing to [") == 2
    assert len(sample.conversation.messages[-1].media) == 1


def test_samples_depend_on_seed_epoch_and_index_alone() -> None:
    one, two = starter(seed=3).build("train", epoch=1), starter(seed=3).build("train", epoch=1)
    backwards = {index: script(two[index]) for index in reversed(range(40))}
    assert [script(one[index]) for index in range(40)] == [backwards[index] for index in range(40)]
    for other in (starter(seed=3).build("train", epoch=2), starter(seed=4).build("train", epoch=1)):
        assert sum(script(one[index]) == script(other[index]) for index in range(40)) < 5


def _scripts(samples: list[Sample]) -> list[str]:
    for sample in samples:
        assert all(torch.isfinite(media.tensor().float()).all() for media in sample.conversation.media)
    return [script(sample) for sample in samples]


def test_two_spawned_workers_give_the_samples_of_one_process() -> None:
    samples = starter(num_samples=24).build("train")
    assert len(pickle.dumps(samples)) < 5000
    loader = DataLoader(samples, 6, num_workers=2, collate_fn=_scripts, multiprocessing_context="spawn")
    assert [text for batch in loader for text in batch] == _scripts([samples[index] for index in range(24)])


def test_test_set_is_fixed_and_complete() -> None:
    samples = held_out_samples()
    again = starter(num_queries=12).build("test", epoch=7)
    assert list(map(script, samples)) == [script(sample) for sample in again]
    counts = Counter((sample.task, sample.provenance.get("family"), sample.provenance.get("k")) for sample in samples)
    for family in FAMILIES:
        assert counts["edit", family, None] == 12
        assert all(counts["exemplar", family, k] == 12 for k in (0, 1, 2, 4))
    assert {sample.task for sample in samples} == ALL_TASKS


def test_every_query_of_the_test_has_a_name_of_its_own() -> None:
    tasks = dict.fromkeys((*ALL_TASKS, "composition", "rounds", "chained", "talk", "wish", "edit-rephrased"), 1)
    samples = starter(num_queries=8, tasks=tasks).build("test")
    names = [name for sample in samples for name in sample.provenance["names"]]
    assert len(set(names)) == len(names) == len(samples)
    assert {"exemplar/tone/7/k2", "edit/style/0", "sound-add/3", "composition/1/k0", "rounds/back/2"} <= set(names)


def test_exemplar_queries_are_the_same_for_every_number_of_examples() -> None:
    queries: dict[tuple[object, object], list[Sample]] = {}
    for sample in held_out_samples():
        if sample.task == "exemplar":
            queries.setdefault((sample.provenance["family"], sample.provenance["query"]), []).append(sample)
    assert len(queries) == 12 * len(FAMILIES)
    for samples in queries.values():
        assert [sample.provenance["k"] for sample in samples] == [0, 1, 2, 4]
        most = samples[-1].provenance["examples"]
        assert len({(sample.provenance["source"], sample.provenance["target"]) for sample in samples}) == 1
        assert all(sample.provenance["examples"] == most[: sample.provenance["k"]] for sample in samples)


def _splits(keys: list[str]) -> set[str]:
    pack, splits = load_pack(), set()
    for key in keys:
        name = key.removeprefix("sound/").split("@")[0]
        parts = name.split("+") if key.startswith("sound/") else [name]
        splits |= {(pack.sound(p) if key.startswith("sound/") else pack.picture(p)).split for p in parts}
    return splits


@pytest.mark.parametrize(("split", "side"), [("test", "test"), ("val", "train"), ("train", "train")])
def test_subjects_of_a_split_stay_in_it_except_example_pairs(split: str, side: str) -> None:
    samples = starter(num_queries=6, num_samples=600).build(split)
    for index in range(len(samples)):
        sample = samples[index]
        if sample.task == "sequence":
            continue
        examples = [key for pair in sample.provenance.get("examples", ()) for key in pair]
        others = [media.key for media in sample.conversation.media if media.key not in examples]
        assert others
        if named := sample.provenance.get("named"):
            sounds = [load_pack().sound(part) for key in others for part in key.removeprefix("sound/").split("+")]
            assert {sound.stem for sound in sounds} == {*sample.provenance["subjects"], *named}
            others = [f"sound/{sound.key}" for sound in sounds if sound.stem not in named]
        assert _splits(others) == {side}
        assert _splits(examples) <= {"train"}


def test_sounds_asked_for_by_name_are_known_from_training() -> None:
    of_stem = {sound.stem: sound.split for sound in load_pack().sounds}
    asked = [s for s in held_out_samples() if s.task in ("sound-add", "sound-drop", "sound-replace")]
    assert asked
    for sample in asked:
        assert {of_stem[stem] for stem in sample.provenance["subjects"]} == {"test"}
        assert {of_stem[stem] for stem in sample.provenance["named"]} == {"train"}


def test_series_of_the_test_are_not_series_of_the_training() -> None:
    train = starter(tasks={"sequence": 1}).build("train")
    seen = {tuple(media.key for media in train[index].conversation.media) for index in range(2000)}
    asked = [tuple(m.key for m in s.conversation.media) for s in held_out_samples() if s.task == "sequence"]
    assert asked
    assert not seen & set(asked)


def test_no_subject_comes_twice_in_an_exemplar() -> None:
    samples = starter(tasks={"exemplar": 1}, examples={4: 1}).build("train")
    for index in range(200):
        provenance = samples[index].provenance
        assert len({*provenance["subjects"], *provenance["example_subjects"]}) == 5


def test_exemplars_show_the_operation_they_ask_for() -> None:
    for sample in held_out_samples():
        if sample.task in ("edit", "exemplar") and sample.provenance["operation"] in PIXEL_EDITS:
            apply = PIXEL_EDITS[sample.provenance["operation"]].apply
            media = {item.key: item.tensor() for item in sample.conversation.media}
            pairs = [
                *sample.provenance.get("examples", ()),
                (sample.provenance["source"], *sample.provenance["target"]),
            ]
            for source, target in pairs:
                assert torch.equal(apply(media[source]), media[target])
                assert (media[source].float() - media[target].float()).abs().mean() >= 4


def test_augmentation_puts_all_pictures_into_one_state() -> None:
    samples = starter(tasks={"exemplar": 1}, families={"tone": 1}, examples={2: 1}, augmentation=1.0).build("train")
    for index in range(30):
        states = {media.key.split("@")[1] for media in samples[index].conversation.media}
        assert len(states) == 1


def test_pixel_edits_can_be_chosen() -> None:
    samples = starter(tasks={"edit": 1}, families={"geometry": 1}, pixel_edits=("geometry/mirror",)).build("train")
    assert {samples[index].provenance["operation"] for index in range(20)} == {"geometry/mirror"}


def test_candidates_hold_target_and_source_and_decode() -> None:
    builder, sizes = starter(), Counter()
    for sample in held_out_samples():
        candidates = sample.provenance["candidates"]
        sizes[sample.task] = max(sizes[sample.task], len(candidates))
        if candidates:
            assert len(set(candidates)) == len(candidates)
            wanted = {sample.provenance.get("source", candidates[0]), *sample.provenance["target"]}
            assert wanted <= set(candidates)
            modalities = {builder.media(key).modality for key in candidates}
            assert modalities == {media.modality for media in sample.conversation.messages[-1].media}
            assert builder.media(candidates[-1]).tensor().ndim == (3 if modalities == {"image"} else 2)
    empty = {task for task, size in sizes.items() if not size}
    assert empty == {"picture-to-text", "sound-to-text", "picture-with-sound"}
    assert sizes["sequence"] in (8, 24)
    assert sizes["exemplar"] >= 40


def test_captions_come_with_the_words_they_should_have() -> None:
    for sample in held_out_samples():
        if sample.task in ("picture-to-text", "sound-to-text"):
            text = sample.conversation.messages[-1].text
            assert all(word in text for word in sample.provenance["words"].values())


def test_media_are_lazy_and_named_by_content() -> None:
    sample = first("sound-add")
    source, target = (media for message in sample.conversation.messages for media in message.media)
    assert source.data is None
    assert source.meta == {"sample_rate": 16_000}
    pack = load_pack()
    waves = [sound_wave(pack.sound(name)) for name in target.key.removeprefix("sound/").split("+")]
    assert torch.equal(target.tensor(), mix([(wave, MIX_GAIN) for wave in waves]))
    mirrored = starter().media("noto/1f98b@mirror")
    assert torch.equal(mirrored.tensor(), picture_pixels(pack.picture("noto/1f98b")).flip(-1))


def test_gallery_holds_all_plain_media_of_a_split() -> None:
    builder = starter()
    assert len(builder.gallery("image")) == 7572
    held_out = builder.gallery("audio", "test")
    assert all(isinstance(media, Media) and media.modality == "audio" for media in held_out)
    assert len(held_out) == sum(sound.split == "test" for sound in load_pack().sounds)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tasks": {"exemplars": 1}}, "did you mean 'exemplar'"),
        ({"families": {"color": 1}}, "did you mean 'colour'"),
        ({"pixel_edits": ["geometry/miror"]}, "did you mean 'geometry/mirror'"),
        ({"pixel_edits": ["geometry/mirror"]}, "pixel_edits: none is of the family 'colour'"),
        ({"tasks": {"edit": 0}}, "at least one must have a weight above zero"),
        ({"tasks": {"edit": -1}}, "greater than or equal to 0"),
        ({"examples": {9: 1}}, "less than or equal to 8"),
        ({"num_sample": 5}, "did you mean 'num_samples'"),
    ],
)
def test_wrong_options_are_named(options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        starter(**options)


def test_unknown_split_is_named() -> None:
    with pytest.raises(ConfigError, match=r"there is no split 'tests'.*did you mean 'test'"):
        starter().build("tests")


def test_training_never_shows_a_composition_that_the_test_split_asks_for() -> None:
    builder = starter(tasks={"composition": 1}, num_samples=400, num_queries=60, test_examples=(1,))
    trained, tested = ({s.provenance["operation"] for s in builder.build(split)} for split in ("train", "test"))
    assert len(trained) > len(tested) >= 6
    assert not trained & tested
    singles = [{name for pair in pairs for name in pair.split("+")} for pairs in (trained, tested)]
    assert singles[0] == singles[1] == set(PIXEL_EDITS)


def test_edits_that_leave_no_composition_are_refused() -> None:
    with pytest.raises(ConfigError, match="too few to compose"):
        starter(tasks={"composition": 1}, pixel_edits=("geometry/mirror", "colour/grey"))
