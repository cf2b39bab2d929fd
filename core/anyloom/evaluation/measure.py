"""Free-running evaluation: ask the model, hand its answers to the metrics."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor

from anyloom.interfaces.dataset import Sample
from anyloom.interfaces.metric import Evaluated, Metric
from anyloom.model.model import AnyToAnyModel

__all__ = ["Means", "answer_samples", "gathered", "measure"]

T = TypeVar("T")


def answer_samples(
    model: AnyToAnyModel, samples: Sequence[Sample], *, seed: int = 0, decode: bool = False, max_new_tokens: int = 32
) -> list[Evaluated]:
    """Answer samples, each with media of the kinds its target has and no others.

    Args:
        model: The model.
        samples: Their last message is the target and is not shown to the model.
        seed: Sample i of the call gets ``seed + i``.
        decode: Also run the decoders.
        max_new_tokens: Text tokens per answer.
    """
    answers: dict[int, Evaluated] = {}
    groups: dict[tuple[str, ...], list[int]] = {}
    for i, sample in enumerate(samples):
        kinds = tuple(dict.fromkeys(m.modality for m in sample.conversation.messages[-1].media))
        groups.setdefault(kinds, []).append(i)
    for kinds, members in groups.items():
        has_text = any(samples[i].conversation.messages[-1].text for i in members)
        messages = model.generate(
            [samples[i].conversation.prompt() for i in members],
            media={
                n: "force" if n in kinds else "forbid" for n in (*kinds, *(k for k in model.tags if k not in kinds))
            },
            seed=[seed + i for i in members],
            decode=decode,
            max_new_tokens=max_new_tokens if has_text else 0,
            max_media=len(kinds),
        )
        assert isinstance(messages, list)
        answers.update({i: Evaluated(samples[i], m) for i, m in zip(members, messages)})
    return [answers[i] for i in range(len(samples))]


def measure(
    model: AnyToAnyModel,
    samples: Sequence[Sample],
    metrics: Mapping[str, Metric],
    *,
    seed: int = 0,
    batch_size: int = 64,
    advance: Callable[[float], None] | None = None,
) -> dict[str, float]:
    """Answer the samples that any metric wants, in batches, and return every metric's values as ``metric/value``.

    Args:
        model: The model.
        samples: What to ask it.
        metrics: Metrics by key; they start afresh.
        seed: Of the answers; the same samples in the same order get the same seeds.
        batch_size: Samples answered together.
        advance: Told which share of the samples is over.
    """
    advance = advance or (lambda share: None)
    advance(0.0)
    for metric in metrics.values():
        metric.reset()
        metric.prepare(model)
    wanted = [s for s in samples if any(m.wants(s) for m in metrics.values())]
    for start in range(0, len(wanted), batch_size):
        batch = wanted[start : start + batch_size]
        update(model, batch, metrics, seed=seed + start)
        advance((start + len(batch)) / len(wanted))
    return values(metrics)


def update(model: AnyToAnyModel, samples: Sequence[Sample], metrics: Mapping[str, Metric], *, seed: int) -> None:
    """Answer one batch and update the metrics with what they want of it."""
    decode = [any(m.wants(s) and m.needs_media for m in metrics.values()) for s in samples]
    for flag in (False, True):
        part = [s for s, d in zip(samples, decode) if d is flag and any(m.wants(s) for m in metrics.values())]
        if not part:
            continue
        evaluated = answer_samples(model, part, seed=seed, decode=flag)
        for metric in metrics.values():
            chosen = [e for e in evaluated if metric.wants(e.sample)]
            if chosen:
                metric.update(chosen)


def gathered(value: T) -> list[T]:
    """A picklable value of every process, by rank."""
    if not torch.distributed.is_initialized():
        return [value]
    found: list[Any] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(found, value)
    return found


class Means:
    """Means of named numbers over samples and processes. Names may differ from batch to batch and process to process.

    >>> means = Means()
    >>> means.add({"a": torch.tensor(1.0)}, size=1)
    >>> means.add({"a": torch.tensor(4.0), "b": torch.tensor(2.0)}, size=2)
    >>> means.compute()
    {'a': 3.0, 'b': 2.0}
    """

    def __init__(self) -> None:
        self._sums: dict[str, tuple[float, int]] = {}

    def add(self, terms: Mapping[str, Tensor], *, size: int) -> None:
        """Take in the numbers of one batch of ``size`` samples."""
        for name, term in terms.items():
            total, count = self._sums.get(name, (0.0, 0))
            self._sums[name] = total + float(term) * size, count + size

    def compute(self) -> dict[str, float]:
        """The means so far, the same in every process, by sorted name."""
        totals: dict[str, tuple[float, int]] = {}
        for sums in gathered(self._sums):
            for name, (total, count) in sums.items():
                before = totals.get(name, (0.0, 0))
                totals[name] = before[0] + total, before[1] + count
        return {name: total / count for name, (total, count) in sorted(totals.items())}


def values(metrics: Mapping[str, Metric]) -> dict[str, float]:
    """Computed values of all metrics, as ``metric/value``."""
    found: dict[str, float] = {}
    called = gathered([name for name, metric in metrics.items() if metric.update_called])
    for name in dict.fromkeys(name for names in called for name in names):
        with warnings.catch_warnings():  # another process has updated this metric, so all must compute it
            warnings.filterwarnings("ignore", message=".*was called before the ``update`` method")
            found |= {f"{name}/{k}": float(v) for k, v in metrics[name].compute().items()}
    return {k: v for k, v in found.items() if not torch.isnan(Tensor([v])).item()}
