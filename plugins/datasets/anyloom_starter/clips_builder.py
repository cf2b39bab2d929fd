"""The data set ``starter-clips``: clips of the pack's pictures, alone and with sounds, and contrary requests."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Final

from pydantic import Field, field_validator

from anyloom.conversation import Media
from anyloom.errors import ConfigError, nearest
from anyloom.interfaces import DatasetBuilder, Sample
from anyloom.interfaces.component import ComponentConfig
from anyloom_starter.clip_candidates import clip_candidates
from anyloom_starter.clip_pool import SPLITS, clip_pool
from anyloom_starter.clip_tasks import CLIP_TASKS, EXAMPLES, clip_exemplar
from anyloom_starter.edits import PIXEL_EDITS
from anyloom_starter.media import media_of_key
from anyloom_starter.negations import contradiction, negation

__all__ = ["ClipsBuilder"]

_MIXTURE: Final = {
    "clip-next": 12.0,
    "clip-edit": 12.0,
    "picture-to-clip": 12.0,
    "clip-exemplar": 10.0,
    "clip-to-text": 4.0,
    "text-to-clip": 4.0,
    "clip-to-picture": 3.0,
    "clip-with-sound": 3.0,
    "next-with-sound": 3.0,
    "picture-to-sound": 3.0,
    "sound-to-picture": 3.0,
    "flash-and-beep": 5.0,
    "flash-to-beep": 4.0,
    "beep-to-flash": 4.0,
    "negation": 6.0,
    "contradiction": 4.0,
}
Weight = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=0, le=EXAMPLES)]


class ClipsBuilder(DatasetBuilder):
    """Conversations about clips that are made of the pictures that ship, and about what goes together with them.

    ``train`` draws ``num_samples`` samples per epoch; sample ``i`` of epoch ``e`` depends on (seed, e, i) alone. The
    others are the same in every epoch, ``num_queries`` of each task: ``val`` about training subjects, ``choose`` and
    ``test`` about subjects that no stage of training has seen, each about one half of these. Examples are of training
    subjects everywhere; so are the tasks that ask for a sound of the pack, which nobody knows who has not heard it.

    >>> data = ClipsBuilder(ClipsBuilder.Config(tasks={"clip-next": 1}, num_queries=3))
    >>> sample = data.build("test")[0]
    >>> sample.task, [media.modality for media in sample.conversation.media]
    ('clip-next', ['video', 'video'])
    """

    class Config(ComponentConfig):
        """Options.

        Args:
            tasks: How often each task is drawn, relative to the others; tasks that are left out never come.
            edits: Pixel edits that negations and contradictions speak of.
            test_examples: Numbers of examples that each query of ``clip-exemplar`` comes with, in the fixed splits.
            num_samples: Samples per epoch of ``train``.
            num_queries: Queries per task of the other splits.
            seed: Source of chance.
        """

        tasks: Mapping[str, Weight] = Field(default_factory=lambda: dict(_MIXTURE))
        edits: tuple[str, ...] = Field(tuple(PIXEL_EDITS), min_length=2)
        test_examples: tuple[Count, ...] = Field((0, 1, 2, 4), min_length=1)
        num_samples: int = Field(20_000, ge=1)
        num_queries: int = Field(24, ge=1)
        seed: int = 0

        @field_validator("tasks")
        @classmethod
        def _known_tasks(cls, tasks: Mapping[str, float]) -> Mapping[str, float]:
            for name in tasks:
                if name not in _MIXTURE:
                    raise ValueError(f"there is no {name!r}; {nearest(name, _MIXTURE) or ', '.join(_MIXTURE)}")
            if not any(tasks.values()):
                raise ValueError("at least one must have a weight above zero")
            return tasks

        @field_validator("edits")
        @classmethod
        def _known_edits(cls, names: tuple[str, ...]) -> tuple[str, ...]:
            for name in names:
                if name not in PIXEL_EDITS:
                    raise ValueError(f"there is no {name!r}; {nearest(name, PIXEL_EDITS) or ', '.join(PIXEL_EDITS)}")
            return names

    config: Config

    def build(self, split: str, epoch: int = 0) -> TrainingClips | list[Sample]:
        """Return the samples of a split.

        Args:
            split: ``train``, ``val``, ``choose`` or ``test``.
            epoch: Which epoch of ``train``; the others do not change.

        Raises:
            anyloom.errors.ConfigError: The split does not exist.
        """
        if split not in SPLITS:
            fix = nearest(split, SPLITS) or f"use one of {', '.join(SPLITS)}"
            raise ConfigError(f"there is no split {split!r}", where="starter-clips", fix=fix)
        return TrainingClips(self, epoch) if split == "train" else self._queries(split)

    def media(self, key: str) -> Media:
        """Return the medium of a key, as in the provenance of samples."""
        return media_of_key(key)

    def training_sample(self, epoch: int, index: int) -> Sample:
        """Return sample ``index`` of epoch ``epoch``."""
        rng = random.Random(f"starter-clips/{self.config.seed}/{epoch}/{index}")
        task = rng.choices(list(self.config.tasks), list(self.config.tasks.values()))[0]
        counts = (rng.choices((1, 2, EXAMPLES), (3, 2, 1))[0],)
        return self._samples(rng, "train", task, counts)[0]

    def _samples(self, rng: random.Random, split: str, task: str, counts: tuple[int, ...]) -> list[Sample]:
        pool, shown = clip_pool(split), clip_pool("train")
        if task == "clip-exemplar":
            return clip_exemplar(rng, pool, shown, counts)
        if task == "negation":
            return [negation(rng, pool, self.config.edits)]
        if task == "contradiction":
            return [contradiction(rng, pool, shown, self.config.edits)]
        return [CLIP_TASKS[task](rng, pool)]

    def _queries(self, split: str) -> list[Sample]:
        """Return the fixed samples, one query of every task before the second of any."""
        samples = []
        for query in range(self.config.num_queries):
            for task in [task for task, weight in self.config.tasks.items() if weight]:
                rng = random.Random(f"starter-clips/{self.config.seed}/{split}/{task}/{query}")
                for found in self._samples(rng, split, task, self.config.test_examples):
                    examples = f"/k{found.provenance['k']}" if "k" in found.provenance else ""
                    facts = {"split": split, "query": query, "candidates": clip_candidates(found)}
                    names = (f"{task}/{query}{examples}",)
                    samples.append(replace(found, provenance={**found.provenance, **facts, "names": names}))
        return samples


@dataclass(frozen=True)
class TrainingClips:
    """The samples of one epoch of ``train``, made when asked for."""

    builder: ClipsBuilder
    epoch: int

    def __len__(self) -> int:
        return self.builder.config.num_samples

    def __getitem__(self, index: int) -> Sample:
        if not 0 <= index < len(self):
            raise IndexError(index)
        return self.builder.training_sample(self.epoch, index)
