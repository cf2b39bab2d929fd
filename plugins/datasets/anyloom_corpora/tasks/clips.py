"""Pictures and stretches of sound out of clips, loaded when they are needed."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from anyloom.conversation import Media
from anyloom.errors import BadRecord
from anyloom_corpora.tasks.derived import Wave, derived_image, derived_sound, wave_of

__all__ = ["frame", "stretch"]


@dataclass(frozen=True)
class _Frame:
    place: float
    after: float | None

    def __call__(self, video: Media) -> Tensor:
        last = video.length() - 1
        step = round(self.place * last)
        if self.after is not None and step == round(self.after * last):
            raise BadRecord("no target", video.path or video.key, f"its {last + 1} frames are too few for another one")
        chosen = video.sample([step])[0]  # one frame: a clip may be too long to be held
        return chosen.float() / 255 if chosen.dtype == torch.uint8 else chosen


@dataclass(frozen=True)
class _Stretch:
    start: float
    end: float

    def __call__(self, audio: Media) -> Wave:
        wave = wave_of(audio)
        start = min(round(self.start * len(wave)), len(wave) - 1)
        return wave[start : max(start + 1, round(self.end * len(wave)))]


def frame(video: Media, place: float, *, after: float | None = None) -> Media:
    """Return a frame of a clip as a picture.

    Args:
        video: The clip.
        place: 0 is its first frame, 1 its last.
        after: Place of a frame that this one must not be: loading it is a bad record if the clip is too short for both.
    """
    return derived_image(f"frame/{place}", _Frame(place, after), video)


def stretch(audio: Media, start: float, end: float) -> Media:
    """Return a part of a sound.

    Args:
        audio: The sound.
        start: Where the part begins, as a share of the whole, 0..1.
        end: Where it ends.
    """
    return derived_sound(f"part/{start}-{end}", _Stretch(start, end), audio)
