"""The data set ``starter-sweep``: one edit, shown by 0 to 8 examples, of pictures, sounds and clips.

Every query comes once with each number of examples, the fewer being the first of the more. Examples are about other
subjects, all of training. A query's ``family`` says whether training has seen its own subject: ``seen`` or ``unseen``.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Annotated, Final

from pydantic import Field

from anyloom.conversation import Media
from anyloom.errors import ConfigError
from anyloom.interfaces import DatasetBuilder, Sample
from anyloom.interfaces.component import ComponentConfig
from anyloom_starter.candidates import candidates
from anyloom_starter.clips import CLIP_EDITS, clip_media
from anyloom_starter.edits import PIXEL_EDITS
from anyloom_starter.media import media_of_key, sound_media
from anyloom_starter.picture_edits import Form, exemplar_sample
from anyloom_starter.pool import Pool, draw, operations, pool_of
from anyloom_starter.sound_edits import SOUND_EFFECTS

__all__ = ["SweepBuilder"]

_FAMILIES: Final = ("style", "tone", "gender", "geometry", "colour")
_POOLS: Final[Mapping[str, str]] = MappingProxyType({"seen": "train", "unseen": "test"})

Count = Annotated[int, Field(ge=0, le=16)]


@dataclass(frozen=True)
class _Change:
    """A medium before and after an operation."""

    operation: str
    source: Media
    target: Media
    subject: str


class SweepBuilder(DatasetBuilder):
    """Edits in context of three modalities; tasks are called ``<modality>-in-context``.

    ``val`` has other queries than ``test``, about seen subjects alone: choose on the first, report the second. There is
    no ``train``.

    >>> data = SweepBuilder(SweepBuilder.Config(modalities=["image"], examples=[0, 1], num_queries=2))
    >>> samples = data.build("test")
    >>> [(sample.task, sample.provenance["k"]) for sample in map(samples.__getitem__, range(2))]
    [('image-in-context', 0), ('image-in-context', 1)]
    """

    class Config(ComponentConfig):
        """Options.

        Args:
            modalities: ``image``, ``audio``, ``video``.
            examples: Numbers of examples that each query comes with.
            pixel_edits: Operations of the families geometry and colour to use; all by default.
            form: ``prompt``: all examples in one question; ``dialogue``: each is a question and its answer.
            num_queries: Queries per modality about seen subjects, and as many about unseen ones.
            seed: Source of chance.
        """

        modalities: tuple[str, ...] = Field(("image", "audio", "video"), min_length=1)
        examples: tuple[Count, ...] = Field((0, 1, 2, 4, 8), min_length=1)
        pixel_edits: tuple[str, ...] = tuple(PIXEL_EDITS)
        form: Form = "prompt"
        num_queries: int = Field(100, ge=1)
        seed: int = 0

    config: Config

    def build(self, split: str, epoch: int = 0) -> list[Sample]:
        """Return the samples of a split, one query of every kind before the second of any.

        Raises:
            anyloom.errors.ConfigError: The split or a modality does not exist.
        """
        del epoch
        if split not in ("val", "test"):
            raise ConfigError(f"there is no split {split!r}", where="starter-sweep", fix="use val or test")
        for modality in self.config.modalities:
            if modality not in _CHANGES:
                fix = f"modalities are {', '.join(_CHANGES)}"
                raise ConfigError(f"there is no {modality!r}", where="starter-sweep.modalities", fix=fix)
        return [
            sample
            for query in range(self.config.num_queries)
            for modality in self.config.modalities
            for family in (_POOLS if split == "test" else ("seen",))
            for sample in self._query(split, modality, family, query)
        ]

    def media(self, key: str) -> Media:
        """Return the medium of a key, as in the provenance of samples."""
        return media_of_key(key)

    def _query(self, split: str, modality: str, family: str, query: int) -> list[Sample]:
        """One query with each number of examples."""
        rng = random.Random(f"starter-sweep/{self.config.seed}/{split}/{modality}/{family}/{query}")
        pool, train = pool_of(_POOLS[family]), pool_of("train")
        operation = self._operation(modality, rng, pool.split, query)
        asked, pairs = _CHANGES[modality](rng, pool, operation), list[_Change]()
        while len(pairs) < max(self.config.examples):
            used = {asked.subject, *(pair.subject for pair in pairs)}
            pairs.append(draw(lambda: _CHANGES[modality](rng, train, operation), lambda c: c.subject not in used))  # noqa: B023
        task = f"{modality}-in-context"
        samples = [exemplar_sample(asked, pairs[:k], self.config.form) for k in self.config.examples]
        return [replace(s, task=task, provenance=_facts(s, task, split, family, query, pool)) for s in samples]

    def _operation(self, modality: str, rng: random.Random, split: str, query: int) -> str:
        """The operation of a query; the families of edits of pictures take turns."""
        if modality == "audio":
            return rng.choice(list(SOUND_EFFECTS))
        known = CLIP_EDITS if modality == "video" else operations(_FAMILIES[query % len(_FAMILIES)], split)
        return rng.choice([name for name in known if name in self.config.pixel_edits or name not in PIXEL_EDITS])


def _facts(sample: Sample, task: str, split: str, family: str, query: int, pool: Pool) -> dict[str, object]:
    facts = {**sample.provenance, "family": family, "split": split, "query": query}
    name = f"{task}/{family}/{query}/k{facts['k']}"
    return {**facts, "names": (name,), "candidates": candidates(replace(sample, task=task), pool)}


def _picture(rng: random.Random, pool: Pool, operation: str) -> _Change:
    pair = pool.pair(rng, operation)
    return _Change(operation, pair.source, pair.target, pair.subject)


def _sound(rng: random.Random, pool: Pool, operation: str) -> _Change:
    """A sound before and after an effect; what becomes louder is soft at first."""
    sound = rng.choice(pool.sounds)
    source, target = sound_media(sound), sound_media(sound, operation)
    if operation == "effect/louder":
        source, target = sound_media(sound, "effect/softer"), source
    return _Change(operation, source, target, sound.stem)


def _clip(rng: random.Random, pool: Pool, operation: str) -> _Change:
    drawing = draw(lambda: pool.picture(rng), lambda found: operation not in found.unchanged)
    return _Change(operation, clip_media(drawing), clip_media(drawing, operation), drawing.subject)


_CHANGES: Final[Mapping[str, Callable[[random.Random, Pool, str], _Change]]] = MappingProxyType(
    {"image": _picture, "audio": _sound, "video": _clip}
)
