"""What a config says about a set as part of a mixture, beside the options of its builder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field

from anyloom.errors import ConfigError, nearest
from anyloom.options import Section, validate

__all__ = ["MixingOptions", "split_mixing", "without_mixing"]

_Weight = Annotated[float, Field(gt=0, allow_inf_nan=False)]
_Passes = Annotated[float, Field(gt=0, allow_inf_nan=False)]
_Count = Annotated[int, Field(gt=0)]


class MixingOptions(Section):
    """Options that every entry of ``data.datasets`` has beside those of its builder.

    Of a builder that gives several tasks, each option may be given by task: ``weight: {caption: 2, edit: 1}``.

    Args:
        weight: How often the set is drawn in training, relative to the others; a number is shared out among its
            tasks by their size. Without any weight every set is drawn by its size.
        max_samples: Train on so many of its samples, drawn by chance and always the same.
        epochs: Passes in training after which it is not drawn any more; any number by default.

    >>> MixingOptions(max_samples={"caption": 10}).max_samples_of("caption")
    10
    """

    weight: _Weight | dict[str, _Weight] | None = None
    max_samples: _Count | dict[str, _Count] | None = None
    epochs: _Passes | dict[str, _Passes] | None = None

    def weight_of(self, task: str, sizes: Mapping[str, int]) -> float | None:
        """Return the weight of one of the tasks, or of the whole set where it has none.

        Args:
            task: Its name.
            sizes: Samples of each task.
        """
        if self.weight is None or isinstance(self.weight, dict):
            return self.weight.get(task) if self.weight else None
        return self.weight * sizes[task] / max(1, sum(sizes.values()))

    def max_samples_of(self, task: str) -> int | None:
        """Return the number of samples to use of a task."""
        return self.max_samples.get(task) if isinstance(self.max_samples, dict) else self.max_samples

    def epochs_of(self, task: str) -> float | None:
        """Return the passes after which a task is over."""
        return self.epochs.get(task) if isinstance(self.epochs, dict) else self.epochs

    def check_tasks(self, tasks: Mapping[str, int], where: str) -> None:
        """Refuse names of tasks that the builder does not give.

        Raises:
            anyloom.errors.ConfigError: A task is unknown.
        """
        for option in ("weight", "max_samples", "epochs"):
            value = getattr(self, option)
            for task in value if isinstance(value, dict) else ():
                if task not in tasks:
                    known = f"it gives {', '.join(map(repr, tasks))}" if any(tasks) else "its samples are one set"
                    raise ConfigError(
                        f"the dataset gives no task {task!r}",
                        where=f"{where}.{option}",
                        fix=nearest(task, tasks) or known,
                    )


def split_mixing(options: Mapping[str, Any], *, where: str) -> tuple[MixingOptions, dict[str, Any]]:
    """Return the mixing options of an entry of ``data.datasets``, and what its builder is given.

    Args:
        options: Name, options of the builder and mixing options.
        where: YAML key, for errors.

    Raises:
        anyloom.errors.ConfigError: A mixing option has a wrong value.

    >>> mixing, rest = split_mixing({"name": "conversations", "train": "a.jsonl", "weight": 2}, where="data.datasets.a")
    >>> mixing.weight, rest
    (2.0, {'name': 'conversations', 'train': 'a.jsonl'})
    """
    if not isinstance(options, Mapping):
        raise ConfigError(f"expected a name and options, got {options!r}", where=where)
    mixing = {k: v for k, v in options.items() if k in MixingOptions.model_fields}
    return validate(MixingOptions, mixing, where=where), {k: v for k, v in options.items() if k not in mixing}


def without_mixing(datasets: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``data.datasets`` as its builders are given it.

    Raises:
        anyloom.errors.ConfigError: A mixing option has a wrong value.

    >>> without_mixing({"mine": {"name": "conversations", "train": "a.jsonl", "weight": 2}})
    {'mine': {'name': 'conversations', 'train': 'a.jsonl'}}
    """
    return {key: split_mixing(options, where=f"data.datasets.{key}")[1] for key, options in datasets.items()}
