"""Media that are computed from other media when their tensor is asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import soxr
import torch
from torch import Tensor

from anyloom.conversation import Media
from anyloom.errors import BadRecord

__all__ = ["RATE", "Wave", "derived_image", "derived_sound", "wave_of"]

RATE: Final = 16_000
"""Sample rate of every derived sound in Hz: AUDIT's, AudioLDM's and ImageBind's."""

Wave = np.ndarray[tuple[int], np.dtype[np.float32]]


@dataclass(frozen=True)
class _Computed:
    """Loads the parts and computes the tensor; picklable if the recipe is."""

    parts: tuple[Media, ...]
    recipe: Callable[..., Tensor | Wave]

    def __call__(self) -> Tensor:
        result = self.recipe(*self.parts)
        return result if isinstance(result, Tensor) else torch.from_numpy(np.ascontiguousarray(result))[None]


def wave_of(media: Media) -> Wave:
    """Return a sound as mono samples ``(T,)`` in -1..1 at :data:`RATE`.

    Raises:
        anyloom.errors.BadRecord: It holds NaN or nothing at all, or its rate is unknown.
    """
    where = media.path or media.key or "sound"
    samples = media.tensor().float().mean(0).numpy()
    rate = media.meta.get("sample_rate", 0)
    if rate <= 0:
        raise BadRecord("wrong format", where, "the sample rate is unknown")
    if not np.isfinite(samples).all():
        raise BadRecord("NaN", where, "the sound holds NaN or infinite values")
    wave: Wave = samples if rate == RATE else soxr.resample(samples, rate, RATE)
    if not wave.size or not np.abs(wave).max() > 0:
        raise BadRecord("silent", where, "the sound is silent")
    return wave


def derived_sound(name: str, recipe: Callable[..., Wave], *parts: Media) -> Media:
    """Return a sound that is computed from others.

    Args:
        name: What is done, with every parameter that matters: it goes into the key.
        recipe: Takes the parts, returns samples ``(T,)`` at :data:`RATE`.
        parts: The media it is made of.
    """
    return Media("audio", loader=_Computed(parts, recipe), key=_key(name, parts), meta={"sample_rate": RATE})


def derived_image(name: str, recipe: Callable[..., Tensor], *parts: Media) -> Media:
    """Return a picture that is computed from other media.

    Args:
        name: What is done, with every parameter that matters: it goes into the key.
        recipe: Takes the parts, returns ``(3, H, W)``.
        parts: The media it is made of.
    """
    return Media("image", loader=_Computed(parts, recipe), key=_key(name, parts))


def _key(name: str, parts: tuple[Media, ...]) -> str:
    """Name the content by what it is made of; without a name if a part has none, so that it is never cached."""
    keys = [part.key for part in parts]
    return f"{name}({', '.join(keys)})" if all(keys) else ""
