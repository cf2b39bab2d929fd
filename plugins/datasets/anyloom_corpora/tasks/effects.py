"""What can be done to one sound, and how one asks for it; all waves are ``(T,)`` float32 at 16 kHz."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Final

import numpy as np
import soxr

from anyloom_corpora.tasks.derived import RATE, Wave

__all__ = ["EFFECTS", "Effect", "band_limited", "echo", "pitch", "reverb", "silenced", "tempo"]

HALF: Final = 512  # half a frame, 32 ms
REACH: Final = 256
LOW_RATE: Final = 8_000


@dataclass(frozen=True)
class Effect:
    """An operation on one sound.

    Args:
        name: Stable name with its setting, such as ``echo-250``.
        phrasings: Ways to ask for it.
        apply: The operation.
    """

    name: str
    phrasings: tuple[str, ...]
    apply: Callable[[Wave], Wave]


def echo(wave: Wave, *, seconds: float = 0.25, gain: float = 0.5) -> Wave:
    """Return the wave with one echo; as long as before, scaled down where it would clip.

    >>> echo(np.float32([1, 0, 0, 0, 0]), seconds=2 / RATE).tolist()
    [1.0, 0.0, 0.5, 0.0, 0.0]
    """
    delay = round(seconds * RATE)
    result = wave.copy()
    if delay < len(wave):
        result[delay:] += gain * wave[: len(wave) - delay]
    return _within(result)


def reverb(wave: Wave, *, seconds: float = 1.2, wet: float = 0.4, seed: int = 0) -> Wave:
    """Return the wave in a room: mixed with itself convolved with decaying noise.

    Args:
        wave: The sound.
        seconds: Time in which the room's answer decays by 60 dB.
        wet: Share of the room in the result's energy, roughly.
        seed: Of the noise: one seed, one room.
    """
    length = round(seconds * RATE)
    decay = 10.0 ** (-3 * np.arange(length) / length)
    answer = np.random.RandomState(seed).standard_normal(length) * decay
    answer /= np.sqrt(np.sum(answer**2))
    size = 1 << (len(wave) + length - 1).bit_length()
    room = np.fft.irfft(np.fft.rfft(wave, size) * np.fft.rfft(answer, size), size)[: len(wave)]
    return _within(((1 - wet) * wave + wet * room).astype(np.float32))


def tempo(wave: Wave, *, speed: float) -> Wave:
    """Return the wave ``speed`` times as fast at the same pitch.

    By overlapping frames of 64 ms (WSOLA, Verhelst and Roelands 1993): each is taken up to 16 ms beside its place,
    where it goes on best from the frame before.

    >>> len(tempo(np.zeros(RATE, dtype=np.float32), speed=2.0)) / RATE
    0.5
    """
    length = round(len(wave) / speed)
    # half a frame of silence before and enough behind, so that every output sample lies under two frames
    padded = np.pad(wave.astype(np.float32), (HALF + REACH, 3 * HALF + 2 * REACH))
    window = np.hanning(2 * HALF + 1)[:-1].astype(np.float32)
    result = np.zeros((length // HALF + 3) * HALF, dtype=np.float32)
    expected = padded[REACH : REACH + 2 * HALF]
    for at in range(0, length + HALF, HALF):
        place = min(round(at * speed), len(wave) + HALF)
        around = padded[place : place + 2 * HALF + 2 * REACH]
        best = _best_match(around, expected)
        result[at : at + 2 * HALF] += window * around[best : best + 2 * HALF]
        begin = min(place + best + HALF, len(padded) - 2 * HALF)
        expected = padded[begin : begin + 2 * HALF]
    return _within(result[HALF : HALF + length])


def pitch(wave: Wave, *, factor: float) -> Wave:
    """Return the wave with every frequency times ``factor``; its length stays.

    >>> tone = np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE).astype(np.float32)
    >>> int(np.abs(np.fft.rfft(pitch(tone, factor=1.5))).argmax())  # in Hz, of one second
    660
    """
    longer = tempo(wave, speed=1 / factor)
    result = soxr.resample(longer, factor * RATE, RATE).astype(np.float32)
    return _within(np.pad(result, (0, max(0, len(wave) - len(result))))[: len(wave)])


def band_limited(wave: Wave) -> Wave:
    """Return what is left of the wave at 8 kHz and 16 bits: the input of AUDIT's super-resolution.

    >>> tone = np.sin(2 * np.pi * 6000 * np.arange(RATE) / RATE).astype(np.float32)
    >>> bool(np.abs(band_limited(tone)[1000:-1000]).max() < 0.01)  # 6 kHz is above half of 8 kHz
    True
    """
    low = soxr.resample(wave, RATE, LOW_RATE)
    coarse = (low.clip(-1, 1) * 32767).astype(np.int16).astype(np.float32) / 32768
    result = soxr.resample(coarse, LOW_RATE, RATE).astype(np.float32)
    return np.pad(result, (0, max(0, len(wave) - len(result))))[: len(wave)]


def silenced(wave: Wave, start: int, end: int) -> Wave:
    """Return the wave with silence in ``start:end``: the input of AUDIT's inpainting.

    >>> silenced(np.ones(4, dtype=np.float32), 1, 3).tolist()
    [1.0, 0.0, 0.0, 1.0]
    """
    result = wave.copy()
    result[start:end] = 0
    return result


def _best_match(around: Wave, expected: Wave) -> int:
    """Return where in ``around`` the stretch most like ``expected`` begins, by normalised correlation."""
    products = np.correlate(around, expected, "valid")
    energy = np.convolve(around.astype(np.float64) ** 2, np.ones(len(expected)), "valid")
    return int(np.argmax(products / np.sqrt(energy + 1e-9)))


def _within(wave: Wave) -> Wave:
    """Scale a wave down to -1..1 if it goes beyond."""
    peak = float(np.abs(wave).max(initial=0.0))
    return (wave / max(1.0, peak)).astype(np.float32)


_ALL: Final = (
    Effect("echo-250", ("add an echo", "let it echo", "repeat it softly after a quarter of a second"), echo),
    Effect("reverb-1200", ("add reverb", "let it sound as in a large hall", "put it into a big empty room"), reverb),
    Effect(
        "pitch-1.5", ("raise the pitch by a fifth", "make it higher, at the same speed"), partial(pitch, factor=1.5)
    ),
    Effect(
        "pitch-0.75", ("lower the pitch by a fourth", "make it deeper, at the same speed"), partial(pitch, factor=0.75)
    ),
    Effect(
        "tempo-1.5", ("play it half again as fast", "speed it up without changing the pitch"), partial(tempo, speed=1.5)
    ),
    Effect("tempo-0.67", ("slow it down by a third, at the same pitch", "play it slower"), partial(tempo, speed=0.67)),
)

EFFECTS: Final = MappingProxyType({effect.name: effect for effect in _ALL})
