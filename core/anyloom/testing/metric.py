"""Checks of metrics."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import torch
from torch import Tensor

from anyloom.interfaces.metric import Metric
from anyloom.testing.case import MetricCase
from anyloom.testing.checking import check, require
from anyloom.testing.component import ComponentChecks

__all__ = ["MetricChecks"]


class MetricChecks(ComponentChecks):
    """Inherit and supply the fixture ``case``, an :class:`anyloom.testing.MetricCase`."""

    def made(self, case: MetricCase) -> Any:
        """A metric that is ready for its first update."""
        metric = case.build()
        metric.prepare(case.model)
        return metric

    def measured(self, case: MetricCase) -> dict[str, Tensor]:
        """The values over all evaluated samples, in one update."""
        metric = self.made(case)
        metric.update(list(case.evaluated))
        values: dict[str, Tensor] = metric.compute()
        return values

    def use(self, case: MetricCase) -> None:
        """Measure."""
        self.measured(case)

    @check("answer wants() from the sample alone, with a bool")
    def test_says_what_it_wants(self, case: MetricCase) -> None:
        """`wants` says yes or no before anything is generated; the case's samples are wanted."""
        metric = case.build()
        require(isinstance(metric, Metric), "it is no Metric")
        require(len(case.evaluated) > 2, "the case has fewer than three evaluated samples")
        answers = [metric.wants(e.sample) for e in case.evaluated]
        require(all(isinstance(a, bool) for a in answers), f"wants() answers {answers[0]!r}")
        require(all(answers), "wants() says no to a sample of the case")

    @check("return a dict of scalar tensors; leave out what is not defined instead of giving NaN")
    def test_gives_finite_numbers_by_name(self, case: MetricCase) -> None:
        """`compute` gives finite numbers by name."""
        values = self.measured(case)
        require(bool(values), "compute() gives no values")
        for name, value in values.items():
            number = isinstance(name, str) and torch.as_tensor(value).numel() == 1
            require(number, f"{name!r} is {value!r}, not one number")
            require(bool(torch.as_tensor(value).isfinite()), f"{name!r} is {float(value)}")

    @check("keep sums and counts (or lists) as states, never a mean of means")
    def test_batches_do_not_matter(self, case: MetricCase) -> None:
        """One update with all samples gives what two updates of different sizes give."""
        metric = self.made(case)
        metric.update(list(case.evaluated[:1]))
        metric.update(list(case.evaluated[1:]))
        _require_equal(self.measured(case), metric.compute(), "in two updates")

    @check("keep all that update() collects in states added with add_state(..., dist_reduce_fx=...)")
    def test_processes_add_up(self, case: MetricCase) -> None:
        """Two processes that saw half of the samples each come to the values of one that saw all."""
        metric, other = self.made(case), self.made(case)
        half = len(case.evaluated) // 2
        metric.update(list(case.evaluated[:half]))
        other.update(list(case.evaluated[half:]))
        metric.merge_state(copy.deepcopy(other))
        _require_equal(self.measured(case), metric.compute(), "after the states of two processes are joined")

    @check("keep all that update() collects in states: reset() clears those and nothing else")
    def test_reset_forgets(self, case: MetricCase) -> None:
        """After `reset` it measures as if new."""
        metric = self.made(case)
        metric.update(list(case.evaluated[:1]))
        metric.compute()
        metric.reset()
        metric.prepare(case.model)
        metric.update(list(case.evaluated))
        _require_equal(self.measured(case), metric.compute(), "after a reset")

    @check("drop models and open files in __getstate__")
    def test_pickles(self, case: MetricCase) -> None:
        """It can be pickled, which some trainer strategies do."""
        metric = self.made(case)
        metric.update(list(case.evaluated))
        _require_equal(metric.compute(), pickle.loads(pickle.dumps(metric)).compute(), "of a pickled copy")


def _require_equal(expected: dict[str, Tensor], given: dict[str, Tensor], when: str) -> None:
    require(expected.keys() == given.keys(), f"{when} other values are there: {sorted(expected.keys() ^ given.keys())}")
    for name, value in expected.items():
        first, second = float(value), float(given[name])
        fine = abs(first - second) <= 1e-5 * max(1.0, abs(first)) or first != first  # NaN has a check of its own
        require(fine, f"{name!r} is {second:.6g} {when}, {first:.6g} otherwise")
