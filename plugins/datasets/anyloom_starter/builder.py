"""The data set ``starter``: conversations about the pack, drawn anew each epoch or fixed for evaluation."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

from pydantic import Field, field_validator, model_validator

from anyloom.conversation import Media
from anyloom.errors import ConfigError, nearest
from anyloom.features.identity import digest_of
from anyloom.interfaces import DatasetBuilder, Sample
from anyloom.interfaces.component import ComponentConfig
from anyloom.options import WrongOptionsError
from anyloom.storage.content import piece_digest
from anyloom_starter.candidates import candidates
from anyloom_starter.chained import asked_last, chained, chained_sample, ending, opening
from anyloom_starter.compositions import composed_pair, composed_pairs, composition_sample, compositions, held_out
from anyloom_starter.edits import PIXEL_EDITS
from anyloom_starter.media import media_of_key, sound_media
from anyloom_starter.pack import load_pack
from anyloom_starter.picture_edits import Form, Wording, edit_sample, example_pairs, exemplar_sample
from anyloom_starter.pool import Even, Pool, operations, pool_of
from anyloom_starter.rounds import KINDS as ROUNDS
from anyloom_starter.rounds import round_sample
from anyloom_starter.talk import talk_sample, wish_sample
from anyloom_starter.tasks import TASKS

__all__ = ["StarterBuilder"]

FAMILIES: Final = ("style", "tone", "gender", "geometry", "colour")
SPLITS: Final = ("train", "val", "choose", "test")
PROMPT_SHARE: Final = 1 / 3

_MIXTURE: Final = {
    "exemplar": 40.0,
    "edit": 20.0,
    "picture-to-text": 9.0,
    "text-to-picture": 9.0,
    "sound-to-text": 4.0,
    "text-to-sound": 4.0,
    "sequence": 3.0,
    "sound-add": 2.0,
    "sound-drop": 2.0,
    "sound-replace": 2.0,
    "sound-effect": 3.0,
    "picture-with-sound": 2.0,
    "composition": 0.0,
    "rounds": 0.0,
    "chained": 0.0,
    "talk": 0.0,
    "wish": 0.0,
    "edit-rephrased": 0.0,
}
_BY_FAMILY: Final = (
    "edit",
    "edit-rephrased",
    "exemplar",
    "rounds",
    "chained",
)  # a query of each family has the same number
_TASKS: Final = {**TASKS, "talk": talk_sample, "wish": wish_sample}

Weight = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=0, le=8)]
K = TypeVar("K")


class StarterBuilder(DatasetBuilder):
    """Conversations about the pictures and sounds that ship with the project.

    ``train`` draws ``num_samples`` samples per epoch; sample ``i`` of epoch ``e`` depends on (seed, e, i) alone.
    ``test`` is the same in every epoch: ``num_queries`` queries of each task (and of each family for ``edit`` and
    ``exemplar``), whose subjects were never seen in training; each exemplar query comes once with each number of
    example pairs in ``test_examples``, the fewer pairs being the first of the more, all from training subjects.
    ``val`` has the form of ``test`` with other queries, about training subjects, to compare with. So has ``choose``, to
    compare trials by: its subjects are those of training too, since ``test`` asks about all others, but the words of
    ``talk``, ``wish`` and ``edit-rephrased`` are neither trained nor those of ``test``.
    A query of ``chained`` ends in the query of the same number of another task, to compare the two one by one.

    >>> data = StarterBuilder(StarterBuilder.Config(tasks={"picture-to-text": 1}, num_queries=3))
    >>> samples = data.build("test")
    >>> len(samples), samples[0].conversation.messages[-1].text
    (3, 'crescent moon, twemoji style')
    """

    class Config(ComponentConfig):
        """Options.

        Args:
            tasks: How often each task is drawn, relative to the others; tasks that are left out never come.
            families: The same for the families of ``edit`` and ``exemplar``.
            pixel_edits: Operations of the families geometry and colour to use; all by default.
            examples: How often an exemplar sample has how many example pairs.
            test_examples: Numbers of example pairs that each exemplar query of ``val`` and ``test`` comes with.
            form: ``prompt``: all example pairs in one question, as in the paper; ``dialogue``: each pair is a
                question and its answer, and these answers are targets too; ``both``: a third of the training samples
                as prompt, the others and the fixed splits as dialogue.
            wording: ``plain``: instructions of ``edit`` as they stand, after the picture; ``varied``: half of the
                training samples in other frames ("Can you ...?"), some before the picture.
            even: Draw pictures of ``train`` evenly over ``bases`` (every thing as often as any other) or over
                ``drawings`` (things drawn with many skin tones come more often).
            augmentation: Share of training edits in which all pictures have undergone one more pixel edit.
            num_samples: Samples per epoch of ``train``.
            num_queries: Queries per task, and per family of ``edit`` and ``exemplar``, of ``val`` and ``test``.
            seed: Source of chance.
        """

        tasks: Mapping[str, Weight] = Field(default_factory=lambda: dict(_MIXTURE))
        families: Mapping[str, Weight] = Field(default_factory=lambda: dict.fromkeys(FAMILIES, 1.0))
        pixel_edits: tuple[str, ...] = tuple(PIXEL_EDITS)
        examples: Mapping[Count, Weight] = Field(default_factory=lambda: {0: 5, 1: 45, 2: 25, 3: 10, 4: 15})
        test_examples: tuple[Count, ...] = (0, 1, 2, 4)
        form: Form = "prompt"
        wording: Wording = "plain"
        even: Even = "bases"
        augmentation: float = Field(0.0, ge=0, le=1)
        num_samples: int = Field(20_000, ge=1)
        num_queries: int = Field(24, ge=1)
        seed: int = 0

        @field_validator("tasks")
        @classmethod
        def _known_tasks(cls, tasks: Mapping[str, float]) -> Mapping[str, float]:
            return _known(tasks, _MIXTURE)

        @field_validator("families")
        @classmethod
        def _known_families(cls, families: Mapping[str, float]) -> Mapping[str, float]:
            return _known(families, dict.fromkeys(FAMILIES, 1.0))

        @field_validator("pixel_edits")
        @classmethod
        def _known_edits(cls, names: tuple[str, ...]) -> tuple[str, ...]:
            _known(dict.fromkeys(names, 1.0), dict.fromkeys(PIXEL_EDITS, 1.0))
            return names

        @model_validator(mode="after")
        def _families_have_edits(self) -> StarterBuilder.Config:
            used = {name.split("/")[0] for name in self.pixel_edits}
            for family in {"geometry", "colour"} - used:
                if self.families.get(family):
                    raise WrongOptionsError({"pixel_edits": f"none is of the family {family!r}; add one or drop it"})
            return self

        @model_validator(mode="after")
        def _rounds_change_pixels(self) -> StarterBuilder.Config:
            for task in ("rounds", "chained"):
                if self.tasks.get(task) and not (self.families.get("geometry") or self.families.get("colour")):
                    raise WrongOptionsError({"families": f"{task} needs geometry or colour; add one or drop the task"})
            return self

        @model_validator(mode="after")
        def _compositions_exist(self) -> StarterBuilder.Config:
            kinds = {held_out(names) for names in compositions(self.pixel_edits)}
            if self.tasks.get("composition") and len(kinds) < 2:
                raise WrongOptionsError({"pixel_edits": "too few to compose; add edits of geometry and of colour"})
            return self

        @field_validator("examples")
        @classmethod
        def _some_examples(cls, examples: Mapping[int, float]) -> Mapping[int, float]:
            return _known(examples, examples)

    config: Config

    def build(self, split: str, epoch: int = 0) -> TrainingSamples | list[Sample]:
        """Return the samples of a split.

        Args:
            split: ``train``, ``val`` (queries about training subjects), ``choose`` (the same with words that are not
                trained) or ``test`` (about held-out subjects).
            epoch: Which epoch of ``train``; the others do not change.

        Raises:
            anyloom.errors.ConfigError: The split does not exist.
        """
        if split not in SPLITS:
            fix = nearest(split, SPLITS) or f"use one of {', '.join(SPLITS)}"
            raise ConfigError(f"there is no split {split!r}", where="starter", fix=fix)
        return TrainingSamples(self, epoch) if split == "train" else self._queries(split)

    def media(self, key: str) -> Media:
        """Return the picture or sound of a key, as in the provenance of samples."""
        return media_of_key(key)

    def gallery(self, modality: str, split: str | None = None, state: str = "") -> list[Media]:
        """Return all plain pictures (``image``) or sounds (``audio``), of one split or all, to retrieve from.

        Args:
            modality: Which of them.
            split: One split only.
            state: Pictures after these pixel edits, as :meth:`state` names them.
        """
        pack = load_pack()
        if modality == "image":
            return [media_of_key(picture.key + state) for picture in pack.pictures if split in (None, picture.split)]
        return [sound_media(sound) for sound in pack.sounds if split in (None, sound.split)]

    def gallery_source(self) -> str:
        """Return the digest of all that media depend on besides their keys: the code of this package and its files."""
        folder = Path(__file__).parent
        files = sorted(p for p in folder.rglob("*") if p.is_file() and p.suffix != ".pyc")
        return digest_of({str(p.relative_to(folder)): piece_digest(p) for p in files})

    def state(self, key: str) -> str:
        """Return what was done to the drawing of a key, such as ``@mirror``; empty for plain ones and for sounds."""
        return "".join(key.partition("@")[1:]) if not key.startswith("sound/") else ""

    def training_sample(self, epoch: int, index: int) -> Sample:
        """Return sample ``index`` of epoch ``epoch``."""
        rng = random.Random(f"starter/{self.config.seed}/{epoch}/{index}")
        return self._drawn(rng, pool_of("train", self.config.even), _weighted(rng, self.config.tasks))

    def _drawn(self, rng: random.Random, pool: Pool, task: str) -> Sample:
        """Draw a sample of a task as training does."""
        if task in _TASKS:
            return _TASKS[task](rng, pool)
        if task == "rounds":
            return round_sample(rng, pool, self._all_operations(pool.split))
        if task == "chained":
            return chained_sample(rng, partial(self._drawn, rng, pool))
        form, count = self._form(rng), _weighted(rng, self.config.examples)
        if task == "composition":
            return self._composition(rng, pool, pool, [count], form)[0]
        family = _weighted(rng, self.config.families)
        operation = rng.choice(self._operations(family, pool.split))
        state = self._state(rng, family) if rng.random() < self.config.augmentation else None
        query = pool.pair(rng, operation, state)
        if task.startswith("edit"):
            return edit_sample(rng, query, "rephrased" if task == "edit-rephrased" else self.config.wording)
        pairs = example_pairs(rng, pool, operation, count, avoid=query.subject, state=state)
        return exemplar_sample(query, pairs, form)

    def _form(self, rng: random.Random | None = None) -> Form:
        """The form of exemplars; without a source of chance, that of the fixed splits."""
        if self.config.form != "both":
            return self.config.form
        return "prompt" if rng is not None and rng.random() < PROMPT_SHARE else "dialogue"

    def _composition(
        self, rng: random.Random, pool: Pool, shown: Pool, counts: Sequence[int], form: Form
    ) -> list[Sample]:
        """One query with each number of examples; the examples come from the pool ``shown``.

        Queries about held-out subjects are of held-out compositions, all others of the others.
        """
        unseen = pool.split == "test"
        names = rng.choice([c for c in compositions(self.config.pixel_edits) if held_out(c) == unseen])
        query = composed_pair(rng, pool, names)
        pairs = composed_pairs(rng, shown, names, max(counts), query.subject)
        return [composition_sample(query, pairs[:k], form) for k in counts]

    def _queries(self, split: str) -> list[Sample]:
        """Return the fixed samples, one query of every kind before the second of any."""
        pool = pool_of("train" if split == "val" else split)
        plain = [task for task, weight in self.config.tasks.items() if weight and task in _TASKS]
        families = [family for family, weight in self.config.families.items() if weight]
        samples: list[Sample] = []
        for index in range(self.config.num_queries):
            found = [_TASKS[task](self._chance(split, task, index), pool) for task in plain]
            for family in families:
                found += self._edit_queries(split, pool, family, index)
            if self.config.tasks.get("rounds"):
                rng, known = self._chance(split, "rounds", index), self._all_operations(pool.split)
                found += [round_sample(rng, pool, known, kind=kind) for kind in ROUNDS]
            if self.config.tasks.get("chained"):
                found += [self._chained_query(split, pool, last, index) for last in asked_last(index)]
            if self.config.tasks.get("composition"):
                rng, counts = self._chance(split, "composition", index), self.config.test_examples
                found += self._composition(rng, pool, pool_of("train"), counts, self._form())
            samples += [_annotated(sample, pool, split=split, query=index) for sample in found]
        return samples

    def _chained_query(self, split: str, pool: Pool, last: str, index: int) -> Sample:
        """Return one query of ``chained``, whose end is query ``index`` of the task ``last``."""
        rng, end = self._chance(split, "chained", last, index), self._chance(split, last, index)
        first = opening(rng, partial(self._drawn, rng, pool), last)
        return chained([first, ending(partial(self._drawn, end, pool), last)])

    def _edit_queries(self, split: str, pool: Pool, family: str, index: int) -> list[Sample]:
        """Return one query as text-instructed edit and as exemplar with each number of examples."""
        names = list(self._operations(family, pool.split))
        self._chance(split, family, "order").shuffle(names)
        operation = names[index % len(names)]
        rng = self._chance(split, family, index)
        query = pool.pair(rng, operation)
        pairs = example_pairs(rng, pool_of("train"), operation, max(self.config.test_examples), avoid=query.subject)
        samples = [edit_sample(rng, query)] if self.config.tasks.get("edit") else []
        if self.config.tasks.get("edit-rephrased"):
            rng, choose = self._chance(split, family, index, "rephrased"), split == "choose"
            samples.append(edit_sample(rng, query, "choose" if choose else "rephrased"))
        if self.config.tasks.get("exemplar"):
            samples += [exemplar_sample(query, pairs[:k], self._form()) for k in self.config.test_examples]
        return samples

    def _operations(self, family: str, split: str) -> tuple[str, ...]:
        chosen = self.config.pixel_edits
        return tuple(name for name in operations(family, split) if name in chosen or name not in PIXEL_EDITS)

    def _all_operations(self, split: str) -> dict[str, tuple[str, ...]]:
        """The operations of every family that is drawn and that the split has."""
        found = {family: self._operations(family, split) for family, weight in self.config.families.items() if weight}
        return {family: names for family, names in found.items() if names}

    def _state(self, rng: random.Random, family: str) -> str | None:
        """Draw a pixel edit of another family than the operation's own, so that the two can follow each other."""
        return rng.choice([name for name in self.config.pixel_edits if not name.startswith(f"{family}/")] or [None])

    def _chance(self, *names: str | int) -> random.Random:
        return random.Random("/".join(map(str, ("starter", self.config.seed, *names))))


@dataclass(frozen=True)
class TrainingSamples:
    """The samples of one epoch of ``train``, made when asked for."""

    builder: StarterBuilder
    epoch: int

    def __len__(self) -> int:
        return self.builder.config.num_samples

    def __getitem__(self, index: int) -> Sample:
        if not 0 <= index < len(self):
            raise IndexError(index)
        return self.builder.training_sample(self.epoch, index)


def _annotated(sample: Sample, pool: Pool, **more: str | int) -> Sample:
    """Add candidates, split, number of the query and a name for people to provenance."""
    facts = {**sample.provenance, **more, "candidates": candidates(sample, pool)}
    return replace(sample, provenance=facts | {"names": (_name(sample.task, facts),)})


def _name(task: str, facts: Mapping[str, Any]) -> str:
    """What an answer to a query of the fixed splits is called, such as ``exemplar/tone/7/k1``."""
    family = (facts["family"],) if task in _BY_FAMILY else ()
    examples = (f"k{facts['k']}",) if "k" in facts else ()
    return "/".join([task, *family, str(facts["query"]), *examples])


def _weighted(rng: random.Random, weights: Mapping[K, float]) -> K:
    return rng.choices(list(weights), list(weights.values()))[0]


def _known(weights: Mapping[K, float], known: Mapping[K, float]) -> Mapping[K, float]:
    """Return ``weights``, if every key is known and one weight is not zero."""
    for name in weights:
        if name not in known:
            raise ValueError(
                f"there is no {name!r}; {nearest(str(name), map(str, known)) or ', '.join(map(str, known))}"
            )
    if not any(weights.values()):
        raise ValueError("at least one must have a weight above zero")
    return weights
