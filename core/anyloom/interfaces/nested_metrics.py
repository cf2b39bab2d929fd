"""Metrics of torchmetrics inside a metric: what happens to the outer one must happen to them as well."""

from __future__ import annotations

from typing import Any, Final

import torch
from torch import nn
from torchmetrics import Metric as TorchMetric
from torchmetrics.utilities import dim_zero_cat, dim_zero_max, dim_zero_mean, dim_zero_min, dim_zero_sum

__all__ = ["can_be_joined", "has_seen", "join", "join_states", "nested_metrics"]

_PAIRWISE: Final[dict[Any, Any]] = {dim_zero_sum: torch.add, dim_zero_max: torch.maximum, dim_zero_min: torch.minimum}
_KNOWN: Final = (*_PAIRWISE, dim_zero_cat, dim_zero_mean)


def nested_metrics(module: nn.Module) -> list[TorchMetric]:
    """Metrics that are attributes of a module, at whatever depth, the module itself left out; always in one order.

    >>> from torchmetrics import MinMaxMetric, SumMetric
    >>> [type(metric).__name__ for metric in nested_metrics(MinMaxMetric(SumMetric()))]
    ['SumMetric']
    """
    return [m for m in module.modules() if isinstance(m, TorchMetric) and m is not module]


def has_seen(metric: TorchMetric) -> bool:
    """Whether a metric or one nested in it was updated; wrappers of torchmetrics do not count updates of their own.

    >>> from torchmetrics import SumMetric
    >>> metric = SumMetric()
    >>> has_seen(metric)
    False
    >>> metric.update(2.0)
    >>> has_seen(metric)
    True
    """
    return any(one.update_called for one in (metric, *nested_metrics(metric)))


def can_be_joined(metric: TorchMetric) -> bool:
    """Whether every state of a metric and of those nested in it is a sum, mean, list, largest or smallest value.

    >>> from torchmetrics import PearsonCorrCoef, SumMetric
    >>> can_be_joined(SumMetric()), can_be_joined(PearsonCorrCoef())
    (True, False)
    """
    everything = (metric, *nested_metrics(metric))
    return all(reduction in _KNOWN for one in everything for reduction in one._reductions.values())


def join(mine: TorchMetric, theirs: TorchMetric) -> None:
    """Add the states of another copy of a metric, which saw other samples, and of those nested in it.

    Unlike ``merge_state`` of torchmetrics this asks nothing of ``full_state_update``, which says how ``forward`` works,
    and weighs means by the number of updates. States with a reduction of their own are left to ``merge_state``.

    Args:
        mine: Takes the states over.
        theirs: Of the same class, built alike; stays as it is.

    Raises:
        RuntimeError: Neither way can join them.

    >>> from torchmetrics import MeanMetric
    >>> first, second = MeanMetric(), MeanMetric()
    >>> first.update([1.0, 2.0, 3.0])
    >>> second.update(6.0)
    >>> join(first, second)
    >>> float(first.compute())
    3.0
    """
    join_states(mine, theirs)
    for one, other in zip(nested_metrics(mine), nested_metrics(theirs)):
        join_states(one, other)


def join_states(mine: Any, theirs: Any) -> None:
    """Do what :func:`join` does, for a metric alone and not for those nested in it."""
    if not theirs.update_called:
        return
    if not all(reduction in _KNOWN for reduction in mine._reductions.values()):
        TorchMetric.merge_state(mine, theirs)
        return
    total = mine.update_count + theirs.update_count
    for name, reduction in mine._reductions.items():
        first, second = getattr(mine, name), getattr(theirs, name)
        if reduction is dim_zero_cat:
            both = [x for state in (first, second) for x in (state if isinstance(state, list) else [state])]
            setattr(mine, name, both)
        elif reduction is dim_zero_mean:
            setattr(mine, name, first + (second - first) * (theirs.update_count / total))
        else:
            setattr(mine, name, _PAIRWISE[reduction](first, second))
    mine._update_count, mine._computed = total, None
