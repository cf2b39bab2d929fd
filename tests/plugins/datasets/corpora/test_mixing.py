"""AUDIT's mixtures against the numbers of its own scripts (tests/golden/audit_mixing.npz)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from anyloom.errors import BadRecord
from anyloom_corpora.tasks.mixing import (
    block_loudness,
    inpainting_gap,
    mix_delayed,
    mix_placed,
    mix_under,
    place,
    replacement_start,
    start_and_position,
)

GOLDEN = Path(__file__).parents[3] / "golden" / "audit_mixing.npz"
POSITIONS = ("beginning", "middle", "end")


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN, allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays}


def wave(golden, name):
    return golden[name].astype(np.float32) / 32768


def rms(mixture):
    return np.sqrt(np.mean(mixture.astype(np.float64) ** 2))


def test_a_caption_sound_goes_under_the_background(golden):
    mixture = mix_under(wave(golden, "background"), wave(golden, "caption_foreground"))
    np.testing.assert_allclose(mixture, golden["add_caps_type1"], atol=1e-6)


def test_a_delayed_sound_is_weighted_by_the_other_sounds_rms(golden):
    background = np.tile(wave(golden, "background"), 8)
    foreground = np.tile(wave(golden, "caption_foreground"), 9)[:128_000]
    mixture = mix_delayed(background, foreground, np.random.RandomState(int(golden["add_caps_type2_np_seed"])))
    np.testing.assert_allclose(mixture[::40], golden["add_caps_type2_stride40"], atol=1e-6)
    assert rms(mixture) == pytest.approx(float(golden["add_caps_type2_rms"]), abs=1e-6)


@pytest.mark.parametrize("case", range(4))
def test_a_placed_sound_starts_where_the_script_puts_it(golden, case):
    background, foreground = wave(golden, "background"), wave(golden, "foreground")
    rng = np.random.RandomState(int(golden["add_fsdesc_np_seeds"][case]))
    start, position = start_and_position(len(background), rng)
    assert start == golden["add_fsdesc_start"][case]
    assert position == POSITIONS[golden["add_fsdesc_position"][case]]
    mixture = mix_placed(background, foreground, start)
    assert rms(mixture) == pytest.approx(float(golden["add_fsdesc_rms"][case]), abs=1e-6)
    if case == 0:
        np.testing.assert_allclose(mixture, golden["add_fsdesc_0"], atol=1e-6)


def test_a_replacement_keeps_the_place_and_matches_no_loudness(golden):
    background = wave(golden, "background")
    start = replacement_start(len(background), np.random.RandomState(int(golden["replace_np_seed"])))
    assert start == golden["replace_start"]
    before = mix_placed(background, wave(golden, "foreground"), start, match=False)
    after = mix_placed(background, wave(golden, "foreground2"), start, match=False)
    assert rms(before) == pytest.approx(float(golden["replace_src_rms"]), abs=1e-6)
    np.testing.assert_allclose(after, golden["replace_tgt"], atol=1e-6)


def test_the_gap_to_fill_is_the_scripts(golden):
    gap = inpainting_gap(len(golden["background"]), np.random.RandomState(int(golden["inpaint_np_seed"])))
    assert gap == (golden["inpaint_start"], golden["inpaint_end"])


def test_silence_cannot_be_brought_to_a_loudness():
    with pytest.raises(BadRecord) as failure:
        mix_under(np.ones(10, dtype=np.float32), np.zeros(10, dtype=np.float32))
    assert failure.value.reason == "silent"


@pytest.mark.parametrize("draw", [start_and_position, replacement_start, inpainting_gap])
@pytest.mark.parametrize("length", [0, 1])
def test_a_sound_of_a_few_samples_is_a_bad_record(draw, length):
    with pytest.raises(BadRecord, match="too short"):
        [draw(length, np.random.RandomState(seed)) for seed in range(20)]


def test_what_does_not_fit_behind_the_start_is_cut():
    np.testing.assert_array_equal(place(np.float32([1, 2, 3]), 3, 5), [0, 0, 0, 1, 2])
    np.testing.assert_array_equal(place(np.float32([1, 2, 3]), 7, 5), np.zeros(5))


def test_loudness_is_that_of_the_loudest_block():
    assert block_loudness(np.repeat(np.float32([0.1, 0.4, 0.2]), 1024)) == pytest.approx(0.4)
