"""Pictures, clips and sounds that belong together (the paper's Table 3).

Fields: ``video`` and ``audio`` of the same clip, or ``image`` and ``audio``; ``caption`` for some.
"""

from __future__ import annotations

from typing import Final

from anyloom.conversation import Media
from anyloom.interfaces import Sample
from anyloom_corpora.tasks.clips import frame, stretch
from anyloom_corpora.tasks.view import View

__all__ = ["picture_by_sound", "picture_to_sound", "subject_clip_with_sound"]

_FIT: Final = ("Change the picture so that it fits this sound:", "Edit the picture by what is heard here:")
_MUSIC: Final = ("Which music fits this picture? Play it.", "Set this picture to music.")
_SOUND: Final = ("What would be heard here? Play it.", "Let me hear this picture.")
_CLIP: Final = ("Make a clip with sound of what this picture shows: {}", "Bring this to life, with its sound: {}")
_MUSICAL: Final = frozenset({"music", "song", "melody", "guitar", "piano", "violin", "drum", "orchestra", "singing"})


def picture_by_sound(view: View) -> Sample:
    """A picture and a sound; the picture changed to what is heard is the target.

    From a clip with sound: an early frame, the sound of the last third, the last frame. From two records with a
    picture and a sound each: the one's picture is changed to fit the other's sound, which shows the other's picture.
    """
    if "video" in view.record:
        video, audio = view.media("video"), view.media("audio")
        before, after, heard = frame(video, 0.0), frame(video, 1.0, after=0.0), stretch(audio, 0.6667, 1.0)
    else:
        before = view.other(fits=lambda other: "image" in other.record).media("image")
        after, heard = view.media("image"), view.media("audio")
    return view.sample([before, f"{view.choose(_FIT)} ", heard], [after], reference=before.key)


def subject_clip_with_sound(view: View) -> Sample:
    """A picture of a subject (the clip's first frame) and words; clip and sound, in one answer, are the target."""
    video = view.media("video")
    subject = frame(video, 0.0)
    user: list[str | Media] = [subject, view.choose(_CLIP).format(view.text("caption"))]
    return view.sample(user, [video, view.media("audio")], reference=subject.key)


def picture_to_sound(view: View) -> Sample:
    """A picture (or a clip's middle frame); its sound is the target. Asks for music if the caption names some."""
    picture = view.media("image") if "image" in view.record else frame(view.media("video"), 0.5)
    captions = view.record.get("caption") or ""
    words = set((captions if isinstance(captions, str) else " ".join(captions)).lower().replace(",", " ").split())
    ask = _MUSIC if _MUSICAL & words else _SOUND
    return view.sample([picture, view.choose(ask)], [view.media("audio")], music=ask is _MUSIC)
