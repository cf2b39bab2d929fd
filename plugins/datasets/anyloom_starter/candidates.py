"""What an answer of the fixed splits is to be told apart from: the right answer among near misses.

Candidates are named by keys. They hold the target and, where there is one, the source, so that an answer that only
copies its input is seen to do so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Final

from anyloom.interfaces import Sample
from anyloom_starter.clips import CLIP_EDITS, PREFIX
from anyloom_starter.compositions import compositions
from anyloom_starter.edits import PIXEL_EDITS, variants
from anyloom_starter.pack import load_pack
from anyloom_starter.pool import Pool
from anyloom_starter.sound_edits import SOUND_EFFECTS

__all__ = ["candidates"]


def candidates(sample: Sample, pool: Pool) -> tuple[str, ...]:
    """Return the keys to choose the sample's target among; empty for text and for answers of two modalities."""
    task = sample.provenance["family"] if sample.task == "chained" else sample.task
    if task not in _NEAR or not sample.provenance["target"]:
        return ()
    given = [sample.provenance[name] for name in ("source",) if name in sample.provenance]
    return tuple(dict.fromkeys([*given, *sample.provenance["target"], *_NEAR[task](sample, pool)]))


def _edited(sample: Sample, pool: Pool) -> Iterator[str]:
    """Other drawings of the subject, other edits of the source, and this edit of the other drawings."""
    source, operation = sample.provenance["source"], sample.provenance["operation"]
    drawing = load_pack().picture(source)
    yield from (other.key for other in variants(drawing))
    yield from (f"{source}@{_word(name)}" for name in PIXEL_EDITS if name not in drawing.unchanged)
    if operation in PIXEL_EDITS:
        same = [other for other in variants(drawing) if operation not in other.unchanged]
        yield from (f"{other.key}@{_word(operation)}" for other in same)


def _rounds(sample: Sample, pool: Pool) -> Iterator[str]:
    """Every picture of the conversation, and other edits of the first and of what was to be edited; or all sounds."""
    if sample.provenance["target"][0].startswith("sound/"):
        yield from _recordings(sample, pool)
        return
    path = sample.provenance["path"]
    yield from path
    for key in dict.fromkeys((path[0], sample.provenance["source"])):
        name, *edits = key.split("@")
        done = "".join(f"@{edit}" for edit in edits)
        yield from (f"{other.key}{done}" for other in variants(load_pack().picture(name)))
        unchanged = load_pack().picture(name).unchanged
        yield from (f"{key}@{_word(edit)}" for edit in PIXEL_EDITS if edit not in unchanged)


def _composed(sample: Sample, pool: Pool) -> Iterator[str]:
    """Single edits and all compositions of the source, and this composition of the subject's other drawings."""
    source = sample.provenance["source"]
    drawing = load_pack().picture(source)
    single = [name for name in PIXEL_EDITS if name not in drawing.unchanged]
    yield from (f"{source}@{_word(name)}" for name in single)
    yield from (f"{source}@{_word(first)}@{_word(second)}" for first, second in compositions(single))
    names = sample.provenance["operation"].split("+")
    edits = "@".join(map(_word, names))
    yield from (f"{other.key}@{edits}" for other in variants(drawing) if not set(names) & set(other.unchanged))


def _drawings(sample: Sample, pool: Pool) -> Iterator[str]:
    """All drawings of the subject."""
    yield from (other.key for other in variants(load_pack().picture(sample.provenance["target"][0])))


def _wished(sample: Sample, pool: Pool) -> Iterator[str]:
    """All recordings, or all drawings of the subject."""
    return _recordings(sample, pool) if sample.provenance["target"][0].startswith("sound/") else _drawings(sample, pool)


def _series(sample: Sample, pool: Pool) -> Iterator[str]:
    """All pictures of the sequence, in the style of the target."""
    drawing = load_pack().picture(sample.provenance["target"][0])
    wanted = (drawing.sequence, drawing.style)
    yield from (other.key for other in load_pack().pictures if (other.sequence, other.style) == wanted)


def _recordings(sample: Sample, pool: Pool) -> Iterator[str]:
    """All sounds of the pack."""
    yield from (f"sound/{sound.key}" for sound in load_pack().sounds)


def _effects(sample: Sample, pool: Pool) -> Iterator[str]:
    """The sound as it is, and after every effect."""
    plain = sample.provenance["source"].split("@")[0]
    yield plain
    yield from (f"{plain}@{_word(name)}" for name in SOUND_EFFECTS)


def _clips(sample: Sample, pool: Pool) -> Iterator[str]:
    """The clip after every edit, and this edit of the subject's other drawings."""
    source, operation = sample.provenance["source"], sample.provenance["operation"]
    drawing = load_pack().picture(source.removeprefix(PREFIX))
    yield from (f"{source}@{_word(name)}" for name in CLIP_EDITS if name not in drawing.unchanged)
    same = [other for other in variants(drawing) if operation not in other.unchanged]
    yield from (f"{PREFIX}{other.key}@{_word(operation)}" for other in same)


def _mixtures(sample: Sample, pool: Pool) -> Iterator[str]:
    """Every part alone, and what stays together with every other sound that may be named."""
    before, after = _parts(sample.provenance["source"]), _parts(sample.provenance["target"][0])
    kept = next(part for part in before if part in after)
    yield from (f"sound/{part}" for part in (*before, *after))
    others = [sound.key for sound in pool.named if sound.key != kept]
    yield from (f"sound/{'+'.join(sorted((kept, other)))}" for other in others)


def _parts(key: str) -> list[str]:
    return key.removeprefix("sound/").split("+")


def _word(name: str) -> str:
    """Return the part of an edit's name that stands in keys."""
    return name.split("/")[1]


_NEAR: Final[Mapping[str, Callable[[Sample, Pool], Iterator[str]]]] = MappingProxyType(
    {
        "edit": _edited,
        "edit-rephrased": _edited,
        "exemplar": _edited,
        "image-in-context": _edited,
        "audio-in-context": _effects,
        "video-in-context": _clips,
        "rounds": _rounds,
        "composition": _composed,
        "text-to-picture": _drawings,
        "wish": _wished,
        "sequence": _series,
        "text-to-sound": _recordings,
        "sound-effect": _effects,
        "sound-add": _mixtures,
        "sound-drop": _mixtures,
        "sound-replace": _mixtures,
    }
)
