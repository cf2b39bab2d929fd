"""What can be done to the sounds of the pack: effects, and mixtures whose parts are known.

Waves are float32 (1, T) at 16 kHz. Sounds of the pack peak at 0.8; in a mixture each part is scaled by
``MIX_GAIN``, so that two parts never clip.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import soxr
import torch
from torch import Tensor

from anyloom_starter.pack import SAMPLE_RATE

MAX_SAMPLES: Final = 40_960  # 2.56 seconds
MIX_GAIN: Final = 0.6
ECHO_SECONDS: Final = 0.25
ECHO_GAIN: Final = 0.5
LOUDNESS: Final = 4.0
PITCH: Final = 1.5


@dataclass(frozen=True)
class SoundEffect:
    """An operation on a wave, float32 (1, T) -> (1, T')."""

    name: str
    phrasings: tuple[str, ...]
    apply: Callable[[Tensor], Tensor]


def echo(wave: Tensor) -> Tensor:
    """Return the wave ``(..., T)`` with one echo after a quarter of a second, at most 2.56 s long."""
    delay = round(ECHO_SECONDS * SAMPLE_RATE)
    result = torch.nn.functional.pad(wave, (0, delay))
    result[..., delay:] += ECHO_GAIN * wave
    return (result / max(1.0, float(result.abs().max())))[..., :MAX_SAMPLES]


def reverse(wave: Tensor) -> Tensor:
    """Return the wave ``(..., T)`` from its end to its beginning.

    >>> reverse(torch.tensor([0.1, 0.2, 0.3]))
    tensor([0.3000, 0.2000, 0.1000])
    """
    return wave.flip(-1)


def louder(wave: Tensor) -> Tensor:
    """Return the wave ``(..., T)`` four times as large, clipped to [-1, 1]; undoes ``softer``.

    >>> louder(torch.tensor([0.125, 0.5]))
    tensor([0.5000, 1.0000])
    """
    return (LOUDNESS * wave).clamp(-1, 1)


def softer(wave: Tensor) -> Tensor:
    """Return the wave a quarter as large (12 dB softer)."""
    return wave / LOUDNESS


def higher(wave: Tensor) -> Tensor:
    """Return the wave ``(..., T)`` a fifth higher and a third shorter, by resampling.

    >>> higher(torch.zeros(1, 3000)).shape[-1] < 3000
    True
    """
    return _resample(wave, PITCH)


def lower(wave: Tensor) -> Tensor:
    """Return the wave ``(..., T)`` a fifth lower and half as long again, at most 2.56 s, by resampling.

    >>> lower(torch.zeros(1, 3000)).shape[-1] > 3000
    True
    """
    return _resample(wave, 1 / PITCH)


def mix(parts: Sequence[tuple[Tensor, float]]) -> Tensor:
    """Return the sum of (wave, gain) pairs, as long as the longest; all waves start together.

    Args:
        parts: At least one pair of a wave (1, T) and the factor it is scaled by.
    """
    result = torch.zeros(1, max(wave.shape[-1] for wave, _ in parts))
    for wave, gain in parts:
        result[..., : wave.shape[-1]] += gain * wave
    return result.clamp(-1, 1)


def _resample(wave: Tensor, speed: float) -> Tensor:
    samples = soxr.resample(wave[0].numpy(), speed * SAMPLE_RATE, SAMPLE_RATE)
    return torch.from_numpy(samples)[None, :MAX_SAMPLES].clamp(-1, 1)


_ALL_EFFECTS: Final = (
    SoundEffect("effect/echo", ("add an echo", "let it echo", "make it sound like in a large hall"), echo),
    SoundEffect("effect/reverse", ("play it backwards", "reverse it", "turn it around in time"), reverse),
    SoundEffect("effect/louder", ("make it louder", "turn the volume up", "raise the volume"), louder),
    SoundEffect("effect/softer", ("make it softer", "turn the volume down", "lower the volume"), softer),
    SoundEffect("effect/higher", ("make it higher", "raise the pitch", "play it faster and higher"), higher),
    SoundEffect("effect/lower", ("make it lower", "lower the pitch", "play it slower and deeper"), lower),
)

SOUND_EFFECTS: Final = MappingProxyType({effect.name: effect for effect in _ALL_EFFECTS})

ADD_PHRASINGS: Final = ("add the sound of {}", "mix in the sound of {}", "let the sound of {} join in")
DROP_PHRASINGS: Final = ("take out the sound of {}", "remove the sound of {}", "leave the sound of {} away")
REPLACE_PHRASINGS: Final = (
    "replace the sound of {} by the sound of {}",
    "take out the sound of {} and put in the sound of {}",
    "swap the sound of {} for the sound of {}",
)
