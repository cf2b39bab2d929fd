"""Free-running evaluation: ask the model, hand its answers to the metrics."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor

from anyloom.conversation.segments import Message, Text
from anyloom.evaluation.own_history import with_own_history
from anyloom.generation.options import GenerationOptions, PlannedMedium
from anyloom.interfaces.dataset import Sample
from anyloom.interfaces.metric import Evaluated, Metric
from anyloom.model.model import AnyToAnyModel
from anyloom.sequence.seeds import sample_name, seed_of

__all__ = [
    "Means", "answer_samples", "answered", "gathered", "measure", "planned", "update", "values", "wanted_batches",
]  # fmt: skip

T = TypeVar("T")


def answer_samples(
    model: AnyToAnyModel,
    samples: Sequence[Sample],
    *,
    seed: int = 0,
    decode: bool | Sequence[bool] = False,
    max_new_tokens: int = 32,
) -> list[Evaluated]:
    """Answer samples, each with the segments that its target has: text and media in the same order.

    A sample's answer depends on the sample and the seed alone: not on its place, its batch-mates or who asks. Samples
    with a history of their own (:mod:`anyloom.evaluation.own_history`) come back with it.

    Args:
        model: The model.
        samples: Their last message is the target and is not shown to the model.
        seed: Of the run.
        decode: Also run the decoders, for all or for some.
        max_new_tokens: Text tokens per answer.
    """
    if not samples:
        return []
    decoded = [decode] * len(samples) if isinstance(decode, bool) else list(decode)

    def ask(asked: Sequence[Sample], decode: Sequence[bool], rounds: Sequence[int]) -> list[Message]:
        plans = [planned(sample.conversation.messages[-1]) for sample in asked]
        return model.answer(
            [sample.conversation.prompt() for sample in asked],
            [seed_of(seed, sample_name(sample), number) for sample, number in zip(asked, rounds)],
            [GenerationOptions(plan=p, decode=d, max_new_tokens=max_new_tokens) for p, d in zip(plans, decode)],
        )

    own = with_own_history(
        samples, lambda cut: ask([s for s, _ in cut], [True] * len(cut), [-1 - number for _, number in cut])
    )
    messages = ask(own, decoded, [0] * len(own))
    return [Evaluated(sample, message) for sample, message in zip(own, messages)]


def planned(target: Message) -> tuple[str | PlannedMedium, ...]:
    """The plan of an answer that has the segments of a target.

    >>> from anyloom.conversation.segments import Media
    >>> planned(Message("assistant", ["Here: ", Media("picture"), "."]))
    ('text', PlannedMedium(modality='picture', reference=None), 'text')
    """
    return tuple(
        "text" if isinstance(s, Text) else PlannedMedium(modality=s.modality, reference=s.reference)
        for s in target.segments
    )


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
        seed: Of the answers; a sample's answer depends on nothing else.
        batch_size: Samples answered together.
        advance: Told which share of the samples is over.
    """
    advance = advance or (lambda share: None)
    advance(0.0)
    for metric in metrics.values():
        metric.reset()
        metric.prepare(model)
    batches, over = wanted_batches(samples, metrics, batch_size), 0
    for batch in batches:
        update(model, batch, metrics, seed=seed)
        over += len(batch)
        advance(over / sum(map(len, batches)))
    return values(metrics)


def wanted_batches(samples: Sequence[Sample], metrics: Mapping[str, Metric], batch_size: int) -> list[Sequence[Sample]]:
    """The samples that any metric wants, as :func:`measure` answers them together.

    >>> from anyloom.conversation import Conversation
    >>> samples = [Sample(Conversation([]), "chat", key=str(n)) for n in range(3)]
    >>> wanted_batches(samples, {}, batch_size=2)  # no metric wants any
    []
    """
    wanted = [s for s in samples if any(m.wants(s) for m in metrics.values())]
    return [wanted[start : start + batch_size] for start in range(0, len(wanted), batch_size)]


def answered(
    model: AnyToAnyModel, samples: Sequence[Sample], metrics: Mapping[str, Metric], *, seed: int
) -> list[Evaluated]:
    """Answer what any metric wants of one batch, decoded where a metric needs media."""
    wanted = [s for s in samples if any(m.wants(s) for m in metrics.values())]
    decode = [any(m.wants(s) and m.needs_media for m in metrics.values()) for s in wanted]
    return answer_samples(model, wanted, seed=seed, decode=decode)


def update(model: AnyToAnyModel, samples: Sequence[Sample], metrics: Mapping[str, Metric], *, seed: int) -> None:
    """Answer one batch and update the metrics with what they want of it."""
    evaluated = answered(model, samples, metrics, seed=seed)
    for metric in metrics.values():
        chosen = [e for e in evaluated if metric.wants(e.sample)]
        if chosen:
            metric.update(chosen)


def gathered(value: T) -> list[T]:
    """A picklable value of every process, by rank.

    >>> gathered("the only process")
    ['the only process']
    """
    if not torch.distributed.is_initialized():
        return [value]
    found: list[Any] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(found, value)
    return found


class Means:
    """Means of named sums over samples and processes. Names may differ from batch to batch and process to process.

    >>> means = Means()
    >>> means.add("a", 1.0, 1)
    >>> means.add("a", 8.0, 2)
    >>> means.compute()
    {'a': 3.0}
    """

    def __init__(self) -> None:
        self._sums: dict[str, tuple[float, float]] = {}

    def add(self, name: str, total: float, count: float) -> None:
        """Take in a sum over ``count`` things."""
        before = self._sums.get(name, (0.0, 0.0))
        self._sums[name] = before[0] + total, before[1] + count

    def compute(self) -> dict[str, float]:
        """The means so far, the same in every process, by sorted name; those of nothing are left out."""
        totals: dict[str, tuple[float, float]] = {}
        for sums in gathered(self._sums):
            for name, (total, count) in sums.items():
                before = totals.get(name, (0.0, 0.0))
                totals[name] = before[0] + total, before[1] + count
        return {name: total / count for name, (total, count) in sorted(totals.items()) if count}


def values(metrics: Mapping[str, Metric]) -> dict[str, float]:
    """Computed values of all metrics, as ``metric/value``.

    >>> values({})
    {}
    """
    found: dict[str, float] = {}
    called = gathered([name for name, metric in metrics.items() if metric.update_called])
    for name in dict.fromkeys(name for names in called for name in names):
        with warnings.catch_warnings():  # another process has updated this metric, so all must compute it
            warnings.filterwarnings("ignore", message=".*was called before the ``update`` method")
            found |= {f"{name}/{k}": float(v) for k, v in metrics[name].compute().items()}
    return {k: v for k, v in found.items() if not torch.isnan(Tensor([v])).item()}
