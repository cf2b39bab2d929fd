"""Effects on sounds against closed forms."""

from __future__ import annotations

import numpy as np
import pytest

from anyloom_corpora.tasks.effects import EFFECTS, band_limited, echo, pitch, reverb, silenced, tempo

RATE = 16_000


def sine(frequency, seconds=1.0):
    return (0.5 * np.sin(2 * np.pi * frequency * np.arange(round(seconds * RATE)) / RATE)).astype(np.float32)


def loudest_frequency(wave):
    middle = wave[len(wave) // 4 : -len(wave) // 4]
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle)), 1 << 18))
    return np.argmax(spectrum) * RATE / (1 << 18)


@pytest.mark.parametrize("factor", [0.75, 1.25, 1.5])
@pytest.mark.parametrize("frequency", [220.0, 1000.0])
def test_pitch_scales_frequencies_and_keeps_the_length(factor, frequency):
    wave = sine(frequency)
    result = pitch(wave, factor=factor)
    assert len(result) == len(wave)
    assert loudest_frequency(result) == pytest.approx(factor * frequency, rel=0.005)


@pytest.mark.parametrize("speed", [0.67, 1.5, 2.0])
def test_tempo_scales_the_length_and_keeps_frequencies_and_loudness(speed):
    wave = sine(440)
    result = tempo(wave, speed=speed)
    assert len(result) == round(len(wave) / speed)
    assert loudest_frequency(result) == pytest.approx(440, rel=0.005)
    middle = result[len(result) // 4 : -len(result) // 4]
    assert np.sqrt(np.mean(middle**2)) == pytest.approx(0.5 / np.sqrt(2), rel=0.05)


def test_an_echo_comes_after_a_quarter_of_a_second():
    click = np.zeros(RATE, dtype=np.float32)
    click[100] = 0.8
    result = echo(click)
    assert np.flatnonzero(result).tolist() == [100, 100 + RATE // 4]
    assert result[100 + RATE // 4] == pytest.approx(0.4)


def test_a_room_decays_by_60_dB_in_its_time():
    click = np.zeros(2 * RATE, dtype=np.float32)
    click[0] = 0.8
    tail = reverb(click, seconds=1.0)
    early, late = tail[200:1800], tail[RATE - 1800 : RATE - 200]
    decibels = 10 * np.log10(np.mean(late**2) / np.mean(early**2))
    assert decibels == pytest.approx(-60 * (RATE - 2000) / RATE, abs=2)
    assert np.allclose(tail[RATE + 10 :], 0, atol=1e-6)
    np.testing.assert_array_equal(tail, reverb(click, seconds=1.0))


def test_8_kHz_keeps_what_is_below_4_kHz_alone():
    assert np.sqrt(np.mean(band_limited(sine(1000)) ** 2)) == pytest.approx(0.5 / np.sqrt(2), rel=0.01)
    assert np.sqrt(np.mean(band_limited(sine(5000)) ** 2)) < 0.003


def test_silencing_touches_its_stretch_alone():
    wave = sine(300)
    result = silenced(wave, 10, 20)
    assert not result[10:20].any()
    np.testing.assert_array_equal(np.delete(result, slice(10, 20)), np.delete(wave, slice(10, 20)))


@pytest.mark.parametrize("name", EFFECTS)
@pytest.mark.parametrize("length", [1, 100, 5000])
def test_effects_take_sounds_of_any_length_and_never_clip(name, length):
    wave = np.sign(sine(700, 1.0)[:length]).astype(np.float32)
    result = EFFECTS[name].apply(wave)
    assert result.dtype == np.float32
    assert len(result)
    assert np.isfinite(result).all()
    assert np.abs(result).max(initial=0) <= 1
