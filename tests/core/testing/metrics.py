"""One metric that does all it must, and others that each get one thing wrong."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import ModuleDict
from torchmetrics import CatMetric, MeanAbsoluteError, MeanMetric
from torchmetrics.text import WordErrorRate
from torchmetrics.wrappers import MultioutputWrapper

from anyloom.interfaces import ComponentConfig, Evaluated, Metric, Sample

__all__ = ["BROKEN", "Nested", "Whole"]


class Whole(Metric):
    """Mean length of the answers."""

    class Config(ComponentConfig):
        """No options."""

    total: Tensor
    count: Tensor

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.add_state("total", torch.tensor(0.0), dist_reduce_fx="sum")
        self.add_state("count", torch.tensor(0), dist_reduce_fx="sum")

    def wants(self, sample: Sample) -> bool:
        """Every sample."""
        return True

    def update(self, evaluated: list[Evaluated]) -> None:
        """Add lengths."""
        self.total += sum(len(e.answer.text) for e in evaluated)
        self.count += len(evaluated)

    def compute(self) -> dict[str, Tensor]:
        """The mean."""
        return {"length": self.total / self.count, "count": self.count}


class Nested(Whole):
    """Leaves the work to metrics of torchmetrics: a mean, a list, and one inside another."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.mean, self.lengths = MeanMetric(), CatMetric()
        self.errors = ModuleDict({"words": WordErrorRate(), "columns": MultioutputWrapper(MeanAbsoluteError(), 1)})

    def update(self, evaluated: list[Evaluated]) -> None:
        """Hand lengths and texts on."""
        super().update(evaluated)
        for one in evaluated:
            self.mean.update(len(one.answer.text))
            self.lengths.update(float(len(one.answer.text)))
            self.errors["words"].update([one.answer.text], [one.sample.conversation.messages[-1].text])
            length = torch.tensor([[float(len(one.answer.text))]])
            self.errors["columns"].update(length, torch.zeros(1, 1))

    def compute(self) -> dict[str, Tensor]:
        """What the metrics say, beside the own mean."""
        inner = {"mean": self.mean.compute(), "longest": self.lengths.compute().max()}
        inner |= {"words": self.errors["words"].compute(), "columns": self.errors["columns"].compute().mean()}
        return {**super().compute(), **inner}


class Undecided(Whole):
    """Answers with something else than yes or no."""

    def wants(self, sample: Sample) -> Any:
        """Something true."""
        return sample.task


class NotANumber(Whole):
    """Gives a number that is none."""

    def compute(self) -> dict[str, Tensor]:
        """The mean, and something else."""
        return {**super().compute(), "other": torch.tensor(float("nan"))}


class MeanOfMeans(Whole):
    """Averages over updates, however many samples each had."""

    def update(self, evaluated: list[Evaluated]) -> None:
        """Add a mean."""
        self.total += sum(len(e.answer.text) for e in evaluated) / len(evaluated)
        self.count += 1

    def compute(self) -> dict[str, Tensor]:
        """The mean."""
        return {"length": self.total / self.count}


class PlainNumbers(Whole):
    """Counts in plain attributes."""

    seen = 0

    def update(self, evaluated: list[Evaluated]) -> None:
        """Add lengths."""
        super().update(evaluated)
        self.seen += len(evaluated)

    def compute(self) -> dict[str, Tensor]:
        """The mean."""
        return {"seen": torch.tensor(float(self.seen))}


class ForgetsToReduce(Whole):
    """Does not add up over processes."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.add_state("total", torch.tensor(0.0), dist_reduce_fx="max")


class Stuck(Whole):
    """Cannot be pickled."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.callback = lambda: None


BROKEN: dict[type[Whole], set[str]] = {
    Undecided: {"says_what_it_wants"},
    NotANumber: {"gives_finite_numbers_by_name"},
    MeanOfMeans: {"batches_do_not_matter", "processes_add_up"},
    PlainNumbers: {"processes_add_up", "reset_forgets"},
    ForgetsToReduce: {"processes_add_up"},
    Stuck: {"pickles"},
}
