"""Every task is a pure function of records and seed, says what it is about, and gives whole conversations."""

from __future__ import annotations

import hashlib
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.plugins.datasets.corpora.memory_source import MemorySource, picture, tone

from anyloom.conversation import Media, Text
from anyloom.errors import BadRecord
from anyloom_corpora.tasks.catalogue import TASKS
from anyloom_corpora.tasks.derived import wave_of
from anyloom_corpora.tasks.mixing import block_loudness, mix_under
from anyloom_corpora.tasks.noun_phrases import noun_phrases
from anyloom_corpora.text_feature import text_of

SIMPLE = MemorySource(without=frozenset({"label"}))


def content(sample) -> str:
    """A digest of all that a sample says: roles, words, keys, tensors, provenance."""
    digest = hashlib.sha256()
    for message in sample.conversation.messages:
        digest.update(message.role.encode())
        for segment in message.segments:
            if isinstance(segment, Text):
                digest.update(segment.text.encode())
            else:
                digest.update(f"{segment.modality} {segment.key} {sorted(segment.meta.items())}".encode())
                digest.update(segment.tensor().numpy().tobytes())
    digest.update(repr((sample.task, sorted(sample.provenance.items()), sample.key)).encode())
    return digest.hexdigest()


def pieces(message) -> list[str]:
    """The parts of a message: words as they are, media by their modality."""
    return [part.text if isinstance(part, Text) else f"<{part.modality}>" for part in message.segments]


@pytest.mark.parametrize("name", TASKS)
def test_the_same_seed_gives_the_same_sample_and_others_differ_in_nothing_hidden(name):
    task, copy = TASKS[name], pickle.loads(pickle.dumps(TASKS[name]))
    first = [content(task(SIMPLE, index, 7)) for index in range(4)]
    np.random.seed(0)  # no global generator has a say
    torch.manual_seed(0)
    assert [content(copy(SIMPLE, index, 7)) for index in (3, 2, 1, 0)] == first[::-1]


@pytest.mark.parametrize("name", TASKS)
def test_a_sample_ends_with_a_target_and_names_its_task_record_and_targets(name):
    sample = TASKS[name](SIMPLE, 5, 1)
    assert sample.task == name
    assert sample.key == "record-5"
    assert sample.provenance["source"] == "memory:5"
    last = sample.conversation.messages[-1]
    assert last.role == "assistant"
    assert last.segments
    assert sample.provenance["target"] == tuple(media.key for media in last.media)
    reference = sample.provenance.get("reference")
    assert reference is None or reference in [media.key for media in sample.conversation.media]
    pickle.loads(pickle.dumps(sample))


def test_another_process_gives_the_same_samples():
    program = (
        "from tests.plugins.datasets.corpora.test_tasks import *\n"
        "print('\\n'.join(content(task(SIMPLE, 2, 11)) for task in TASKS.values()))"
    )
    root = Path(__file__).parents[4]
    run = subprocess.run(
        [sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True, timeout=120
    )
    assert run.stdout.split() == [content(task(SIMPLE, 2, 11)) for task in TASKS.values()]


@pytest.mark.parametrize("name", TASKS)
def test_a_record_without_a_needed_field_is_a_bad_record(name):
    task = TASKS[name]
    for field in task.fields:
        if field in ("caption", "parts") and name in ("audio-effect", "composition"):
            continue
        broken = MemorySource(without=frozenset({field}))
        with pytest.raises(BadRecord) as failure:
            [task(broken, index, 3) for index in range(12)]
        assert failure.value.reason in ("bad row", "no target"), field


@pytest.mark.parametrize("name", ["audio-add", "audio-replace", "audio-exemplar", "image-exemplar", "concept"])
def test_a_bad_companion_is_replaced_by_another(name):
    holes = MemorySource(bad=frozenset({0, 5, 9}))
    made = [TASKS[name](holes, 1, seed) for seed in range(12)]
    assert len({content(sample) for sample in made}) > 1


def test_both_ways_between_words_and_media():
    for modality in ("image", "audio", "video"):
        asked = TASKS[f"{modality}-to-text"](SIMPLE, 0, 0).conversation
        made = TASKS[f"text-to-{modality}"](SIMPLE, 0, 0).conversation
        assert asked.messages[0].media[0].modality == modality
        assert asked.messages[1].text.rstrip(".") == "a dog barking"
        assert "a dog barking" in made.messages[0].text
        assert [media.modality for media in made.messages[1].media] == [modality]


def test_an_exemplar_shows_pairs_of_the_same_group_and_asks_for_the_query():
    sample = TASKS["image-exemplar"](SIMPLE, 5, 2)
    shots = sample.provenance["shots"]
    keys = [media.key for media in sample.conversation.messages[0].media]
    assert len(keys) == 2 * shots + 1
    numbers = [int(key.rsplit("-", 1)[1]) for key in keys[:-1:2]]
    assert set(numbers) <= {4, 6, 7}
    assert keys[1:-1:2] == [f"after-{n}" for n in numbers]
    assert keys[-1] == "before-5"
    assert sample.provenance["target"] == ("after-5",)


def test_adding_is_the_mixture_that_the_golden_numbers_fix():
    sample = TASKS["audio-add"](SIMPLE, 0, 4)
    before, mixed = sample.conversation.media
    added = sample.provenance["added"]
    index = next(
        n for n in range(1, 12) if added in MemorySource()[n]["caption"][1] and f"tone-{200 + 50 * n}-" in mixed.key
    )
    background, foreground = (wave_of(SIMPLE[n]["audio"]) for n in (0, index))
    np.testing.assert_array_equal(mixed.tensor()[0].numpy(), mix_under(background, foreground))
    np.testing.assert_array_equal(before.tensor()[0].numpy(), background)


def test_dropping_is_adding_the_other_way_round():
    sample = TASKS["audio-drop"](SIMPLE, 0, 4)
    mixed, alone = sample.conversation.media
    assert mixed.key.startswith("under(")
    torch.testing.assert_close(alone.tensor(), SIMPLE[0]["audio"].tensor())


def test_a_labelled_sound_is_placed_and_matched_in_loudness():
    labelled = MemorySource(more={"label": "bell"})
    seen = set()
    for seed in range(20):
        sample = TASKS["audio-add"](labelled, 0, seed)
        words = sample.conversation.messages[0].text
        before, mixed = (media.tensor()[0].numpy() for media in sample.conversation.media)
        position = next(p for p in ("beginning", "middle", "end") if p in words)
        seen.add(position)
        start = int(np.flatnonzero(mixed != before)[0]) / len(before)
        low, high = {"beginning": (0, 0.25), "middle": (0.35, 0.5), "end": (0.6, 0.8)}[position]
        assert low <= start <= high + 0.001
        assert block_loudness(mixed - before) == pytest.approx(block_loudness(before), rel=0.05)
    assert seen == {"beginning", "middle", "end"}


def test_a_replacement_changes_one_sound_and_keeps_the_other():
    sample = TASKS["audio-replace"](SIMPLE, 0, 1)
    before, after = (media.tensor()[0].numpy() for media in sample.conversation.media)
    background = wave_of(SIMPLE[0]["audio"])
    first = int(np.flatnonzero(before != background)[0])
    np.testing.assert_array_equal(after[:first], background[:first])
    assert 0.2 <= first / len(background) <= 0.651
    assert not np.allclose(before[first:], after[first:])


def test_long_or_joined_captions_are_not_added():
    joined = MemorySource(more={"caption": "a dog barks and a bell rings"})
    with pytest.raises(BadRecord, match="no other record"):
        TASKS["audio-add"](joined, 0, 0)


def test_the_gap_is_silent_and_the_rest_is_kept():
    gapped, whole = (media.tensor()[0].numpy() for media in TASKS["audio-inpainting"](SIMPLE, 3, 0).conversation.media)
    silent = np.flatnonzero((gapped == 0) & (whole != 0))
    assert 0.25 <= silent[0] / len(whole) <= 0.45
    assert 0.55 <= silent[-1] / len(whole) <= 0.75
    kept = np.r_[0 : silent[0], silent[-1] + 1 : len(whole)]
    np.testing.assert_array_equal(gapped[kept], whole[kept])


def test_super_resolution_lacks_what_8_kHz_cannot_hold():
    high = MemorySource(more={"audio": tone(6_000)})
    low, whole = (media.tensor()[0] for media in TASKS["audio-super-resolution"](high, 0, 0).conversation.media)
    assert whole.square().mean() > 0.07
    assert low.square().mean() < 1e-4 * whole.square().mean()


def test_two_rounds_edit_the_first_answer():
    for seed in range(6):
        sample = TASKS["audio-rounds"](SIMPLE, 0, seed)
        first, second = (m for m in sample.conversation.messages if m.role == "assistant")
        assert sample.provenance["reference"] == first.media[0].key
        dropped = sample.provenance["operation"] == "drop"
        assert (second.media[0].key == sample.conversation.messages[0].media[0].key) == dropped
    pictures = TASKS["image-rounds"](SIMPLE, 0, 0).conversation
    assert [m.role for m in pictures.messages] == ["user", "assistant"] * 2
    first, second = (m.media[0] for m in pictures.messages if m.role == "assistant")
    assert first.key == "after-0"
    assert second.key.endswith("(after-0)")


@pytest.mark.parametrize(
    ("words", "operation"),
    [
        ("black and white|colours out", lambda x: (x * torch.tensor([0.299, 0.587, 0.114])[:, None, None]).sum(0)),
        ("left", lambda x: torch.flip(x, [2])),
        ("dark|bright", lambda x: x / 2),
        ("upside|half a turn", lambda x: torch.rot90(x, 2, (1, 2))),
    ],
)
def test_the_second_edit_of_a_picture_is_exact(words, operation):
    for seed in range(60):
        conversation = TASKS["image-rounds"](SIMPLE, 1, seed).conversation
        asked, (_, first, second) = conversation.messages[2].text, conversation.media
        if any(word in asked for word in words.split("|")):
            expected = operation(first.tensor()).expand(3, -1, -1)
            torch.testing.assert_close(second.tensor(), expected)
            return
    pytest.fail("never drawn")


def test_fewer_turns_are_the_first_of_more():
    chains = [TASKS[f"image-turns-{n}"](SIMPLE, 0, 0) for n in (1, 2, 3, 4)]
    keys = [[m.key for m in chain.conversation.media] for chain in chains]
    assert [len(own) for own in keys] == [2, 3, 4, 5]
    assert keys[:3] == [keys[3][:2], keys[3][:3], keys[3][:4]]
    assert {m.key for c in chains for m in c.provenance["real"]} == {"before-0"}
    assert [c.provenance["turns"] for c in chains] == [1, 2, 3, 4]
    assert all(c.provenance["own_history"] for c in chains)
    used = [m.text for m in chains[3].conversation.messages[2::2]]
    assert len(set(used)) == 3


def test_composition_puts_pictures_in_place_of_words():
    pattern = TASKS["composition"](SIMPLE, 0, 0).conversation.messages[0]
    assert pieces(pattern) == ["<image>", " on ", "<image>"]
    caption = MemorySource(without=frozenset({"relation"}), more={"caption": "A dog sleeps under the roof of a barn."})
    message = TASKS["composition"](caption, 0, 0).conversation.messages[0]
    assert pieces(message) == ["<image>", " sleeps under ", "<image>", " of a barn."]
    assert [media.key for media in message.media] == ["dog-0", "roof-0"]


def test_composition_needs_a_part_that_the_caption_names():
    unnamed = MemorySource(without=frozenset({"relation"}), more={"caption": "Doggedly roofless"})
    with pytest.raises(BadRecord, match="names none"):
        TASKS["composition"](unnamed, 0, 0)


def test_a_subject_stands_in_place_of_its_word():
    source = MemorySource(more={"caption": "The dog in the snow"})
    message = TASKS["subject"](source, 0, 0).conversation.messages[0]
    assert pieces(message)[-1] == " in the snow"
    assert set(pieces(message)[1:-1]) == {"<image>"}
    assert "picture-0" not in [media.key for media in message.media]
    prompt = MemorySource(more={"prompt": "{} on the beach", "subject_images": [picture(0.5, "given")]})
    message = TASKS["subject"](prompt, 0, 0).conversation.messages[0]
    assert pieces(message)[1:] == ["<image>", " on the beach"]
    assert message.media[0].key == "given"


def test_what_comes_next_is_next():
    for seed in range(10):
        user, answer = TASKS["next-image"](SIMPLE, 0, seed).conversation.messages
        numbers = [int(media.key.rsplit("-", 1)[1]) for media in (*user.media, *answer.media)]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
        user, answer = TASKS["next-frame"](SIMPLE, 0, seed).conversation.messages
        shades = [float(media.tensor().mean()) for media in (*user.media, *answer.media)]
        assert shades == sorted(shades)


@pytest.mark.parametrize("name", ["next-frame", "next-frame-with-sound", "image-by-sound"])
def test_a_clip_that_is_too_short_for_another_frame_has_no_target(name):
    still = MemorySource(more={"video": Media("video", torch.zeros(1, 3, 8, 8), key="still", meta={"fps": 3})})
    with pytest.raises(BadRecord) as failure:
        [media.tensor() for media in TASKS[name](still, 0, 0).conversation.media]
    assert failure.value.reason == "no target"


def test_the_sound_of_the_next_frame_follows_the_sound_that_was_heard():
    sample = TASKS["next-frame-with-sound"](SIMPLE, 0, 5)
    heard = sample.conversation.messages[0].media[-1].tensor()
    picture_, following = sample.conversation.messages[-1].media
    assert (picture_.modality, following.modality) == ("image", "audio")
    whole = SIMPLE[0]["audio"].tensor()
    both = torch.cat([heard, following.tensor()], dim=1)
    windows = whole[0].unfold(0, both.shape[1], 1)
    assert (windows == both[0]).all(1).any()


def test_a_clip_and_its_sound_are_one_answer():
    answer = TASKS["subject-clip-with-sound"](SIMPLE, 0, 0).conversation.messages[-1]
    assert [media.modality for media in answer.media] == ["video", "audio"]


def test_a_picture_is_edited_by_the_sound_of_another():
    without = MemorySource(without=frozenset({"video"}))
    sample = TASKS["image-by-sound"](without, 3, 0)
    before, heard, after = sample.conversation.media
    assert before.key != after.key == "picture-3"
    assert heard.key == without[3]["audio"].key


def test_music_is_asked_for_where_the_caption_names_music():
    music = MemorySource(more={"caption": "Slow piano, in a hall"})
    assert TASKS["image-to-audio"](music, 0, 0).provenance["music"]
    assert not TASKS["image-to-audio"](SIMPLE, 0, 0).provenance["music"]


def test_inference_shows_words_with_pictures_and_asks_for_the_last():
    message = TASKS["inference"](SIMPLE, 0, 0).conversation.messages[0]
    assert pieces(message) == ["red thing 0: ", "<image>", "red thing 1: ", "<image>", "a red cup: "]


def test_repurposed_text_loses_no_letter():
    for seed in range(10):
        sample = TASKS["text-repurposed"](SIMPLE, 0, seed)
        for message, text in zip(sample.conversation.messages, ("instruction", "output")):
            parts = [p.text if isinstance(p, Text) else text_of(p) for p in message.segments]
            assert "".join(parts) == SIMPLE[0][text]
    answer = sample.conversation.messages[-1]
    assert pieces(answer) == ["A ", "<text-feature>", " typically has ", "<text-feature>", "."]


@pytest.mark.parametrize(
    ("text", "phrases"),
    [
        ("The cat chased a small grey mouse across the kitchen floor", ["cat", "small grey mouse", "kitchen floor"]),
        ("Give three tips for staying healthy.", ["three tips"]),
        ("It quickly ran.", []),
        ("", []),
        ("3.5 million people saw my very old house's roof", ["3.5 million people"]),
        ("An apple, a pear; the PLUM!", ["apple", "pear", "PLUM"]),
    ],
)
def test_noun_phrases_follow_the_rule(text, phrases):
    assert [text[start:end] for start, end in noun_phrases(text)] == phrases


def test_text_without_a_noun_phrase_is_not_repurposed():
    plain = MemorySource(more={"instruction": "Go on.", "output": "We did."})
    with pytest.raises(BadRecord) as failure:
        TASKS["text-repurposed"](plain, 0, 0)
    assert failure.value.reason == "no target"


def test_answered_questions_of_the_in_context_set_come_first():
    sample = TASKS["question"](SIMPLE, 0, 0)
    assert [m.role for m in sample.conversation.messages] == ["user", "assistant"] * 4
    assert sample.conversation.messages[-2].media[0].key == "series-0-0"


@pytest.mark.parametrize(
    ("wave", "reason"),
    [(torch.zeros(1, 100), "silent"), (torch.full((1, 100), float("nan")), "NaN"), (torch.zeros(1, 0), "silent")],
)
def test_sounds_that_hold_nothing_are_found_when_they_are_loaded(wave, reason):
    broken = MemorySource(more={"audio": Media("audio", wave, key="x", meta={"sample_rate": 16_000})})
    sample = TASKS["audio-effect"](broken, 0, 0)
    with pytest.raises(BadRecord) as failure:
        sample.conversation.media[0].tensor()
    assert failure.value.reason == reason


def test_sounds_of_any_rate_become_16_kHz():
    other = MemorySource(more={"audio": tone(300, rate=44_100)})
    media = TASKS["audio-effect"](other, 0, 0).conversation.media[0]
    assert media.meta["sample_rate"] == 16_000
    assert media.tensor().shape[1] == pytest.approx(8_000, abs=2)
