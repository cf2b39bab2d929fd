"""CoBSAT: ten tasks of inferring a hidden object or attribute from pictures with words.

Pictures lie in ``datasets/<attribute kind>_<object>/<attribute>_<object>.jpg``; ``prompts_list.json`` says which words
are shown, as numbers ``{"x_list": [...], "theta_list": [...]}``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar, Final

from pydantic import Field

from anyloom.conversation import Media
from anyloom.data.sources import JsonFile
from anyloom.errors import BadRecord
from anyloom.interfaces import Record
from anyloom_corpora.media import MediaFolder
from anyloom_corpora.reader import Reader, require_split

__all__ = ["COBSAT_TASKS", "Cobsat", "CobsatSource", "items"]

# UW-Madison-Lee-Lab/CoBSAT configs.py, in its order: the numbers of prompts_list.json point into these lists
_ITEMS: Final = MappingProxyType(
    {
        "color": "yellow white red purple pink orange green brown blue black",
        "object": "leaf hat cup chair car box book ball bag apple",
        "animal": "zebra tiger sheep pig monkey lion dog cow cat bird",
        "style": "watercolor sketch pixel origami lego icon graffiti futuristic 3d old",
        "action": "swim sleep sing run read fly eat drink cry angry",
        "background": "beach desert glacier volcano park gym waterfall space cave seafloor",
        "texture": "wood wicker sequined plastic paper metal leather lace denim ceramic",
    }
)

# number -> (kind of the words that are shown, kind of the hidden one)
COBSAT_TASKS: Final = MappingProxyType(
    {
        1: ("color", "object"),
        2: ("object", "color"),
        3: ("background", "animal"),
        4: ("animal", "background"),
        5: ("style", "object"),
        6: ("object", "style"),
        7: ("action", "animal"),
        8: ("animal", "action"),
        9: ("texture", "object"),
        10: ("object", "texture"),
    }
)
_THINGS: Final = ("object", "animal")
_SUFFIXES: Final = ("jpg", "webp", "jpeg", "png")


def items(kind: str) -> list[str]:
    """Return the ten words of a kind, in the order that prompts count them.

    >>> len(items("color"))
    10
    """
    return _ITEMS[kind].split()


class CobsatSource:
    """Prompts of some tasks, one task after another.

    Args:
        prompts: Rows of numbers.
        folder: The data set.
        numbers: Which of the ten tasks.
        shots: Examples a prompt.
        count: Prompts a task.
    """

    def __init__(self, prompts: JsonFile, folder: MediaFolder, numbers: Sequence[int], shots: int, count: int) -> None:
        self.prompts, self.folder, self.numbers, self.shots = prompts, folder, tuple(numbers), shots
        self.count = min(count, len(prompts))

    def __len__(self) -> int:
        return self.count * len(self.numbers)

    @property
    def shards(self) -> Sequence[range]:
        """One range: files are read at random as cheaply as in order."""
        return [range(len(self))]

    def __getitem__(self, index: int) -> Record:
        """Return a prompt: words with pictures, words more, and the picture that they ask for.

        Raises:
            anyloom.errors.BadRecord: A picture is missing, or the prompt has too few numbers.
        """
        if not 0 <= index < len(self):
            raise IndexError(index)
        number, row = self.numbers[index // self.count], index % self.count
        shown, hidden = (items(kind) for kind in COBSAT_TASKS[number])
        where = f"{self.prompts.where(row)} of task {number}"
        words, hidden_number = self._numbers(self.prompts[row], where)
        theta = hidden[hidden_number]
        media = [self._picture(number, shown[n], theta, where) for n in words]
        return {
            "key": f"task-{number}/{row}",
            # what CoBSAT's own programs call an answer, below the folder of a model and a number of examples
            "names": [f"task_{number}/{row}_{theta}_{'_'.join(shown[n] for n in words)}"],
            "family": f"task-{number}",
            "choices": {"given": list(shown), "inferred": list(hidden)},
            "chosen": {"given": words[-1], "inferred": hidden_number},
            "where": where,
            "examples": [(shown[n], picture) for n, picture in zip(words[:-1], media)],
            "query": shown[words[-1]],
            "image": media[-1],
            "theta": theta,
        }

    def _numbers(self, row: Mapping[str, Any], where: str) -> tuple[list[int], int]:
        """Numbers of the words shown, the query's last, and the number of the hidden word: entry shots + 1."""
        x, theta = row.get("x_list"), row.get("theta_list")
        usable = all(
            isinstance(values, list)
            and len(values) > self.shots + 1
            and all(type(n) is int and 0 <= n < 10 for n in values)
            for values in (x, theta)
        )
        if not usable or x is None or theta is None:
            raise BadRecord("bad row", where, f"x_list and theta_list need {self.shots + 2} numbers from 0 to 9")
        return x[: self.shots + 1], theta[self.shots + 1]

    def _picture(self, number: int, word: str, theta: str, where: str) -> Media:
        shown, hidden = COBSAT_TASKS[number]
        thing, detail = (word, theta) if shown in _THINGS else (theta, word)
        kind = hidden if shown in _THINGS else shown
        names = [f"datasets/{kind}_{thing}/{detail}_{thing}.{suffix}" for suffix in _SUFFIXES]
        return self.folder.media(names, "image", where)


class Cobsat(Reader):
    """CoBSAT: ``datasets/`` and ``prompts_list.json`` of its repository.

    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from anyloom_corpora.fixtures.layouts import write_layout
    >>> with TemporaryDirectory() as folder:
    ...     root = write_layout("cobsat", Path(folder))  # as `anyloom layouts` does
    ...     data = Cobsat(Cobsat.Config(root=root, numbers=[1, 2]))
    ...     sample = data.build("test")[0]
    ...     sample.task, [getattr(s, "text", "<media>") for m in sample.conversation.messages for s in m.segments]
    ('inference', ['blue: ', '<media>', 'brown: ', '<media>', 'orange: ', '<media>'])
    """

    natural: ClassVar[Mapping[str, float]] = {"inference": 1}

    class Config(Reader.Config):
        """Options.

        Args:
            prompts: The list of prompts; by default ``load_datasets/prompts_list.json`` or its parts for inference
                (``test``) and training.
            numbers: Which of the ten tasks.
            shots: Examples a prompt: 2, 4, 6 or 8 in the paper.
            count: Prompts a task, from the first.
        """

        prompts: str | None = None
        numbers: tuple[int, ...] = Field(tuple(COBSAT_TASKS), min_length=1)
        shots: int = Field(2, ge=1, le=8)
        count: int = Field(1000, ge=1)

    config: Config

    def source(self, split: str) -> CobsatSource:
        """Return the prompts of a split.

        Raises:
            anyloom.errors.ConfigError: The split does not exist, or a list is missing.
        """
        require_split(split, "cobsat", ("train", "test"))
        folder = self.config.root / "load_datasets"
        parts = {"test": "prompts_list_inference.json", "train": "prompts_list_ft_train_all.json"}
        named = [folder / "prompts_list.json", folder / parts[split]]
        path = next((p for p in named if p.is_file()), named[0])
        prompts = JsonFile(self.file(self.config.prompts) if self.config.prompts else path)
        return CobsatSource(prompts, self.folder, self.config.numbers, self.config.shots, self.config.count)
