"""Visual reasoning: what comes next, in series of pictures, in clips, and in clips with sound.

Fields: ``images``, pictures in their order; or ``video``; or ``video`` and ``audio`` of the same length in time. For
in-context inference (CoBSAT): ``examples``, pairs of words and a picture, ``query`` and ``image``.
"""

from __future__ import annotations

from typing import Final

from anyloom.conversation import Media
from anyloom.interfaces import Sample
from anyloom_corpora.tasks.clips import frame, stretch
from anyloom_corpora.tasks.view import UnfitRecord, View

__all__ = ["infer_picture", "next_frame", "next_frame_with_sound", "next_picture"]

_NEXT: Final = ("What comes next?", "Continue the series.", "Show the picture that follows.")
_NEXT_FRAME: Final = ("How does it go on?", "Show what is seen a moment later.")
_NEXT_BOTH: Final = ("What is seen and heard next?", "Show the next moment and let me hear it.")


def next_picture(view: View, most: int = 4) -> Sample:
    """Pictures in their order; the one that follows is the target."""
    images = view.several("images", 2)
    shown = min(len(images) - 1, most)
    first = view.rng.randrange(len(images) - shown)
    user: list[str | Media] = [*images[first : first + shown], view.choose(_NEXT)]
    return view.sample(user, [images[first + shown]], shots=shown)


def next_frame(view: View, frames: int = 3) -> Sample:
    """Frames of a clip at equal distances; the next one is the target."""
    video = view.media("video")
    pictures = _frames(video, _places(view, frames + 1))
    return view.sample([*pictures[:-1], view.choose(_NEXT_FRAME)], [pictures[-1]], reference=pictures[-2].key)


def next_frame_with_sound(view: View, frames: int = 2) -> Sample:
    """Frames of a clip and the sound up to the last; the next frame and the sound from there on are the target."""
    video, audio = view.media("video"), view.media("audio")
    places = _places(view, frames + 1)
    pictures = _frames(video, places)
    heard = stretch(audio, places[0], places[-2])
    following = stretch(audio, places[-2], places[-1])
    user: list[str | Media] = [*pictures[:-1], heard, view.choose(_NEXT_BOTH)]
    return view.sample(user, [pictures[-1], following], reference=pictures[-2].key)


def infer_picture(view: View) -> Sample:
    """Words each with their picture, and words more; the picture that the hidden attribute asks for is the target."""
    examples = view.record.get("examples")
    if not examples:
        raise UnfitRecord("bad row", view.where, "there are no examples")
    user: list[str | Media] = []
    for words, media in examples:
        if not isinstance(media, Media):
            raise UnfitRecord("bad row", view.where, "an example has no picture")
        user += [f"{words}: ", media]
    user.append(f"{view.text('query')}: ")
    theta = str(view.record.get("theta", ""))
    facts = {name: value for name in ("choices", "chosen", "family") if (value := view.record.get(name))}
    return view.sample(user, [view.media("image")], shots=len(examples), k=len(examples), theta=theta, **facts)


def _frames(video: Media, places: list[float]) -> list[Media]:
    """Return the frames at some places, each another one than the frame before."""
    before = [None, *places[:-1]]
    return [frame(video, place, after=earlier) for place, earlier in zip(places, before)]


def _places(view: View, count: int) -> list[float]:
    """Draw places at equal distances between 0 and 1, the last one in the second half of the clip."""
    step = view.rng.uniform(0.5, 1.0) / (count - 1)
    start = view.rng.uniform(0, 1 - step * (count - 1))
    return [round(start + step * n, 4) for n in range(count)]
