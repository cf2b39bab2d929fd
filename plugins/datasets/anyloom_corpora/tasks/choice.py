"""Which tasks a source is used for, and how often: part of every config of this package."""

from __future__ import annotations

import inspect
import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated

from pydantic import AfterValidator, Discriminator, Field, Tag

from anyloom.errors import nearest
from anyloom.interfaces import ComponentConfig, Sample, Source
from anyloom.options import WrongOptionsError
from anyloom_corpora.tasks.catalogue import TASKS
from anyloom_corpora.tasks.view import RecordTask, UnfitRecord

__all__ = ["OneOf", "TaskOptions", "Weights", "one_of"]


Count = Annotated[int, Field(ge=1, le=64)]
Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class TaskOptions(ComponentConfig):
    """How a task is used; which of the counts a task takes is said with it.

    Args:
        weight: How often it is drawn, relative to the others.
        shots: Numbers of example pairs, one of which is drawn.
        shown: Numbers of pictures of a subject, one of which is drawn.
        frames: Frames that are shown before the one asked for.
        most: Most pictures, phrases or answered questions to take.
    """

    weight: Weight = 1.0
    shots: Annotated[tuple[Count, ...], Field(min_length=1)] | None = None
    shown: Annotated[tuple[Count, ...], Field(min_length=1)] | None = None
    frames: Count | None = None
    most: Count | None = None


@dataclass(frozen=True)
class OneOf:
    """Draws one of several tasks for each visit of a record; the sample carries that task's name.

    A record that the drawn task cannot use (a prompt with one seed has no exemplars) goes to another of them, drawn
    likewise; it counts as bad only if none can use it.

    Args:
        tasks: The tasks.
        weights: How often each is drawn, relative to the others.
    """

    tasks: tuple[RecordTask, ...]
    weights: tuple[float, ...]

    @property
    def name(self) -> str:
        """The names of all."""
        return "+".join(task.name for task in self.tasks)

    def __call__(self, source: Source, index: int, seed: int) -> Sample:
        """Return the sample that the drawn task makes of a record.

        Raises:
            anyloom.errors.BadRecord: No sample can be made of the record.
        """
        rng = random.Random(f"one-of/{seed}/{index}")
        left = list(range(len(self.tasks)))
        failure: UnfitRecord | None = None
        while left:
            number = rng.choices(left, [self.weights[n] for n in left])[0]
            try:
                return self.tasks[number](source, index, seed)
            except UnfitRecord as error:
                failure = failure or error
                left.remove(number)
        assert failure is not None, "there is one task at least"
        raise failure


def one_of(weights: Mapping[str, float | TaskOptions]) -> OneOf:
    """Return the tasks that a config names.

    Args:
        weights: Task name -> weight, or options.

    Raises:
        ValueError: There is no such task, it has no such option, or every weight is zero.

    >>> one_of({"image-exemplar": TaskOptions(weight=2, shots=(1,)), "image-edit": 1}).weights
    (2.0, 1.0)
    """
    tasks, shares = [], []
    for name, value in weights.items():
        options = value if isinstance(value, TaskOptions) else TaskOptions(weight=value)
        task = _named(name, options)
        if options.weight:
            tasks.append(task)
            shares.append(options.weight)
    if not tasks:
        raise ValueError("no task has a weight above zero")
    return OneOf(tuple(tasks), tuple(shares))


def _named(name: str, options: TaskOptions) -> RecordTask:
    if name not in TASKS:
        hint = nearest(name, TASKS) or f"the tasks are {', '.join(TASKS)}"
        raise WrongOptionsError({name: f"there is no such task; {hint}"})
    task = TASKS[name]
    known = inspect.signature(task.make).parameters
    given = options.model_dump(exclude_none=True, exclude={"weight"})
    for option in given:
        if option not in known:
            takes = [key for key in TaskOptions.model_fields if key in known]
            hint = f"it takes {' and '.join(takes)}" if takes else "it takes none"
            raise WrongOptionsError({f"{name}.{option}": f"this task has no such option; {hint}"})
    return replace(task, options={**(task.options or {}), **given})


def _checked(weights: Mapping[str, float | TaskOptions]) -> Mapping[str, float | TaskOptions]:
    one_of(weights)
    return weights


def _is_mapping(value: object) -> str:
    return "options" if isinstance(value, (Mapping, TaskOptions)) else "weight"


# a discriminator, so that a wrong value is answered for what it is, and not for everything that it might have been
Choice = Annotated[
    Annotated[Weight, Tag("weight")] | Annotated[TaskOptions, Tag("options")], Discriminator(_is_mapping)
]
Weights = Annotated[Mapping[str, Choice], AfterValidator(_checked)]
"""Task name -> weight, or :class:`TaskOptions`."""
