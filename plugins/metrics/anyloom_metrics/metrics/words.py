"""Word error rate and VQA accuracy of answers, and the structure of interleaved ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from torch import Tensor

from anyloom.conversation import Message, Text
from anyloom.interfaces import Evaluated, Sample, ValueInfo
from anyloom_metrics.functional.structure import Structure, structure_of
from anyloom_metrics.functional.vqa import vqa_accuracy
from anyloom_metrics.functional.wer import word_errors
from anyloom_metrics.metrics.contract import Contract
from anyloom_metrics.metrics.means import MeanMetric, error_of_mean
from anyloom_metrics.metrics.rows import RowConfig
from anyloom_metrics.metrics.texts import references_of

__all__ = ["AnswerStructure", "VQAAccuracy", "WordErrorRate", "parts_of"]


class VQAAccuracy(MeanMetric):
    """VQA accuracy against the answers of ten people, ``provenance["answers"]``.

    >>> from anyloom.conversation import Conversation
    >>> people = {"answers": ["two", "two", "2", "three"] + 6 * ["several"]}
    >>> asked = Sample(Conversation([Message("user", "How many?"), Message("assistant", "several")]), "vqa", people)
    >>> metric = VQAAccuracy(VQAAccuracy.Config())
    >>> metric.update([Evaluated(asked, Message("assistant", "two"))])
    >>> round(metric.compute()["vqa/accuracy"].item(), 3)
    0.9
    """

    class Config(RowConfig):
        """Options; none beside those of all metrics."""

    columns: ClassVar[tuple[str, ...]] = ("accuracy",)
    measures: Mapping[str, ValueInfo] = {
        "accuracy": ValueInfo("VQA accuracy", "Share of people's answers that agree, three being enough.")
    }

    def contract(self) -> Contract:
        """Texts and people's answers."""
        return Contract(("answer", "answers"), paired=True, preset="lmms-eval@75571cf vqav2")

    def refuse(self, evaluated: Evaluated) -> str:
        """Samples without people's answers."""
        return "" if len(evaluated.sample.provenance.get("answers", ())) > 1 else "no reference"

    def measured(self, evaluated: Sequence[Evaluated]) -> list[dict[str, float]]:
        """Accuracies."""
        return [
            {"accuracy": vqa_accuracy(e.answer.text, list(map(str, e.sample.provenance["answers"])))} for e in evaluated
        ]


class WordErrorRate(MeanMetric):
    """Word error rate of transcripts: edits over words, summed over samples before they are divided.

    Both sides are compared in lower case, without punctuation at the edges of words.

    >>> from anyloom.conversation import Conversation
    >>> asked = Sample(Conversation([Message("user", "?"), Message("assistant", "It rains on the roof.")]), "hear")
    >>> metric = WordErrorRate(WordErrorRate.Config())
    >>> metric.update([Evaluated(asked, Message("assistant", "it rained on a roof"))])
    >>> round(metric.compute()["hear/rate"].item(), 3)
    0.4
    """

    class Config(RowConfig):
        """Options; none beside those of all metrics."""

    columns: ClassVar[tuple[str, ...]] = ("edits", "words")
    measures: Mapping[str, ValueInfo] = {
        "rate": ValueInfo("Word error rate", "Wrong, missing and extra words per word that was said.", better="lower")
    }

    def contract(self) -> Contract:
        """Texts and their references."""
        return Contract(("answer", "references"), paired=True)

    def wants(self, sample: Sample) -> bool:
        """Samples whose target has text."""
        return super().wants(sample) and bool(sample.conversation.messages[-1].text.strip())

    def refuse(self, evaluated: Evaluated) -> str:
        """References without words."""
        return "" if any(_plain(t) for t in references_of(evaluated)) else "no reference"

    def measured(self, evaluated: Sequence[Evaluated]) -> list[dict[str, float]]:
        """Edits and words; of several references the nearest counts."""
        found = []
        for one in evaluated:
            counts = [word_errors(_plain(one.answer.text), t) for t in map(_plain, references_of(one)) if t]
            best = min(counts, key=lambda c: c.edits / c.words)
            found.append({"edits": float(best.edits), "words": float(best.words)})
        return found

    def compute(self) -> dict[str, Tensor]:
        """The rate by ``<group>/rate``, with ``<group>/count`` and ``<group>/flagged``."""
        rates = {f"{group}/rate": rows[:, 0].sum() / rows[:, 1].sum() for group, rows, _ in self.scored_rows()}
        return rates | self.counts()

    def found_errors(self) -> dict[str, float]:
        """Standard error of a ratio of sums, by linearisation."""
        found = {}
        for group, rows, subjects in self.scored_rows():
            # the rate moves by this much with each sample; see Cochran, Sampling Techniques, on ratios
            moved = (rows[:, 0] - rows[:, 0].sum() / rows[:, 1].sum() * rows[:, 1]) / rows[:, 1].mean()
            if (error := error_of_mean(moved, subjects)) is not None:
                found[f"{group}/rate"] = error
        return found


class AnswerStructure(MeanMetric):
    """Whether an interleaved answer has the parts that its target has: which media, how many, in which order.

    >>> from anyloom.conversation import Conversation, Media
    >>> wanted = Message("assistant", ["A hat:", Media("image", key="hat")])
    >>> asked = Sample(Conversation([Message("user", "Show a hat."), wanted]), "show")
    >>> metric = AnswerStructure(AnswerStructure.Config())
    >>> metric.update([Evaluated(asked, Message("assistant", [Media("image", key="mine"), "A hat"]))])
    >>> values = metric.compute()
    >>> {name: values[f"show/{name}"].item() for name in metric.columns}
    {'kinds': 1.0, 'counts': 1.0, 'order': 0.0, 'overlap': 1.0, 'aligned': 0.5}
    """

    class Config(RowConfig):
        """Options; none beside those of all metrics."""

    columns: ClassVar[tuple[str, ...]] = Structure._fields
    measures: Mapping[str, ValueInfo] = {
        "kinds": ValueInfo("Right modalities", "Share of answers with the target's modalities and no others."),
        "counts": ValueInfo("Right numbers", "Share of answers with each modality as often as the target."),
        "order": ValueInfo("Right order", "Share of answers whose parts stand exactly as the target's."),
        "overlap": ValueInfo("Parts in common", "F1 of the parts, whatever their order."),
        "aligned": ValueInfo("Parts in common, in order", "Longest common subsequence of the parts."),
    }

    def contract(self) -> Contract:
        """Messages and their targets."""
        return Contract(("answer", "target"), paired=True)

    def refuse(self, evaluated: Evaluated) -> str:
        """Targets without parts."""
        return "" if parts_of(evaluated.sample.conversation.messages[-1]) else "no reference"

    def measured(self, evaluated: Sequence[Evaluated]) -> list[dict[str, float]]:
        """All five."""
        return [
            structure_of(parts_of(e.answer), parts_of(e.sample.conversation.messages[-1]))._asdict() for e in evaluated
        ]


def parts_of(message: Message) -> list[str]:
    """Modality of each part of a message; neighbouring texts are one part, blank ones none.

    >>> parts_of(Message("assistant", ["see ", "here", " "]))
    ['text']
    """
    found: list[str] = []
    for segment in message.segments:
        if not isinstance(segment, Text):
            found.append(segment.modality)
        elif segment.text.strip() and found[-1:] != ["text"]:
            found.append("text")
    return found


def _plain(text: str) -> str:
    words = (word.strip(".,;:!?\"'()[]-") for word in text.lower().split())
    return " ".join(word for word in words if word)
