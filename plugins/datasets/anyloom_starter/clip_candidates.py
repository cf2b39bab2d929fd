"""What an answer to a query about clips is to be told apart from: the right answer among near misses, by keys."""

from __future__ import annotations

from collections.abc import Iterator

from anyloom.interfaces import Sample
from anyloom_starter.clip_pool import clip_pool
from anyloom_starter.edits import PIXEL_EDITS, variants
from anyloom_starter.motions import FRAMES, MOTIONS
from anyloom_starter.pack import load_pack

__all__ = ["clip_candidates"]


def clip_candidates(sample: Sample) -> tuple[str, ...]:
    """Return the keys to choose the first medium of the target among; empty where words are the target."""
    if not sample.provenance["target"]:
        return ()
    target = sample.provenance["target"][0]
    given = [sample.provenance[name] for name in ("source", "refused") if name in sample.provenance]
    return tuple(dict.fromkeys([*given, target, *_near(sample.task, target)]))


def _near(task: str, target: str) -> Iterator[str]:
    if target.startswith("motion/flash/"):
        picture = target.split("/", 3)[3]
        yield from (f"motion/flash/{moment}/{picture}" for moment in range(FRAMES))
    elif target.startswith("motion/"):
        yield from _clips(target)
    elif target.startswith("click/"):
        yield from (f"click/{moment}" for moment in range(FRAMES))
    elif target.startswith("sound/"):
        yield from dict.fromkeys(f"sound/{sound.key}" for sound, _ in clip_pool("train").links)
    elif task == "sound-to-picture":
        yield from dict.fromkeys(picture.key for _, picture in clip_pool("train").links)
    else:
        yield from _pictures(target)


def _clips(target: str) -> Iterator[str]:
    """All motions of the picture in the target's part, the target's motion in all parts and of other drawings."""
    _, motion, part, key = target.split("/", 3)
    yield from (f"motion/{other}/{part}/{key}" for other in MOTIONS)
    yield from (f"motion/{motion}/{other}/{key}" for other in ("whole", "first", "second"))
    yield from (f"motion/{motion}/{part}/{other.key}" for other in variants(load_pack().picture(key)))


def _pictures(target: str) -> Iterator[str]:
    """All drawings of the subject, and all pixel edits of the picture that can be seen."""
    name = target.split("@")[0]
    drawing = load_pack().picture(name)
    yield from (other.key for other in variants(drawing))
    yield from (f"{name}@{edit.split('/')[1]}" for edit in PIXEL_EDITS if edit not in drawing.unchanged)
