"""Mixtures of sounds exactly as AUDIT's scripts make them (HeCheng0625/AudioEditing, 2023).

All waves are ``(T,)`` float32 in -1..1 at 16 kHz. Where the scripts draw from numpy's global generator, the functions
take a ``RandomState``; seeded alike, they draw the same numbers. No mixture sets a signal-to-noise ratio in decibels:
loudness is the largest mean absolute value of a block of 1,024 samples.
"""

from __future__ import annotations

from typing import Any, Final, Literal

import numpy as np

from anyloom.errors import BadRecord
from anyloom_corpora.tasks.derived import Wave

__all__ = [
    "Position",
    "block_loudness",
    "inpainting_gap",
    "mix_delayed",
    "mix_placed",
    "mix_under",
    "place",
    "replacement_start",
    "start_and_position",
]

Position = Literal["beginning", "middle", "end"]

BLOCK: Final = 1024
BACKGROUND_GAIN: Final = 0.88
FOREGROUND_GAIN: Final = 0.43
DELAY_RATE: Final = 22_050  # the scripts delay by this rate although the sounds have 16 kHz
DELAY_SECONDS: Final = (2.5, 5.0)

# where a sound may start, as shares of the background
STARTS: Final[tuple[tuple[Position, float, float], ...]] = (
    ("beginning", 0.0, 0.25),
    ("middle", 0.35, 0.5),
    ("end", 0.6, 0.8),
)
REPLACEMENT_STARTS: Final = (0.2, 0.65)
GAP_STARTS: Final = (0.25, 0.45)
GAP_ENDS: Final = (0.55, 0.75)


def block_loudness(wave: Wave) -> float:
    """Return the largest mean absolute value of the blocks of 1,024 samples; the last block may be shorter.

    Raises:
        anyloom.errors.BadRecord: The wave is silent, so nothing can be brought to its loudness.

    >>> block_loudness(np.concatenate([np.full(1024, 0.25), np.full(10, 0.5)]).astype(np.float32))
    0.5
    """
    loudness = max((float(np.mean(np.abs(wave[at : at + BLOCK]))) for at in range(0, len(wave), BLOCK)), default=0.0)
    if not loudness > 0:
        raise BadRecord("silent", "mixture", "one of its sounds is silent")
    return loudness


def place(wave: Wave, start: int, length: int) -> Wave:
    """Return silence of a length with a wave in it from ``start`` on, cut where the silence ends.

    >>> place(np.ones(3, dtype=np.float32), 2, 4).tolist()
    [0.0, 0.0, 1.0, 1.0]
    """
    placed = np.zeros(length, dtype=np.float32)
    part = wave[: max(0, length - start)]
    placed[start : start + len(part)] = part
    return placed


def mix_under(background: Wave, foreground: Wave) -> Wave:
    """Return the background with a caption's sound under it ("type 1", AudioCaps with AudioCaps).

    Both are cut to the shorter; after loudness matching the foreground is 6.2 dB below the background.
    """
    length = min(len(background), len(foreground))
    background, foreground = background[:length], foreground[:length]
    gain = FOREGROUND_GAIN * block_loudness(background) / block_loudness(foreground)
    return _clipped(BACKGROUND_GAIN * background + gain * foreground)


def mix_delayed(background: Wave, foreground: Wave, rng: np.random.RandomState) -> Wave:
    """Return both sounds weighted by each other's RMS, the foreground delayed ("type 2", training only)."""
    length = min(len(background), len(foreground))
    background = background[:length]
    delayed = place(foreground[:length], int(DELAY_RATE * rng.uniform(*DELAY_SECONDS)), length)
    own, other = _rms(background), _rms(delayed)
    if not own + other > 0:
        raise BadRecord("silent", "mixture", "both sounds are silent")
    return _clipped((background * other + delayed * own) / (own + other))


def start_and_position(length: int, rng: np.random.RandomState) -> tuple[int, Position]:
    """Draw where an added sound starts, in samples, and what the instruction calls that place.

    >>> start_and_position(16000, np.random.RandomState(1003))
    (7532, 'middle')
    """
    position, low, high = STARTS[min(int(rng.rand() * len(STARTS)), len(STARTS) - 1)]
    return _between(low, high, length, rng), position


def mix_placed(background: Wave, foreground: Wave, start: int, *, match: bool = True) -> Wave:
    """Return the background with a sound that starts at a sample (AudioSet with FSD50K or ESC-50).

    Args:
        background: Sets the length.
        foreground: Cut where the background ends.
        start: First sample of the foreground.
        match: Bring the foreground to the background's block loudness (adding); replacement does not.
    """
    placed = place(foreground, start, len(background))
    gain = block_loudness(background) / block_loudness(placed) if match else 1.0
    return _clipped(background + gain * placed)


def replacement_start(length: int, rng: np.random.RandomState) -> int:
    """Draw the sample at which the old and the new sound of a replacement start."""
    return _between(*REPLACEMENT_STARTS, length, rng)


def inpainting_gap(length: int, rng: np.random.RandomState) -> tuple[int, int]:
    """Draw first and last (exclusive) sample of the gap that is to be filled: 1 to 5 of 10 seconds.

    >>> inpainting_gap(16000, np.random.RandomState(1001))
    (6925, 11753)
    """
    return _between(*GAP_STARTS, length, rng), _between(*GAP_ENDS, length, rng)


def _between(low: float, high: float, length: int, rng: np.random.RandomState) -> int:
    """Draw a sample between two shares of a length, the second left out."""
    first, end = int(low * length), int(high * length)
    if end <= first:
        raise BadRecord("bad row", "mixture", f"a sound of {length} samples is too short")
    return int(rng.randint(first, end))


def _rms(wave: Wave) -> float:
    return float(np.sqrt(np.mean(wave**2)))


def _clipped(wave: np.ndarray[Any, Any]) -> Wave:
    clipped: Wave = np.clip(wave, -1, 1).astype(np.float32)
    return clipped
