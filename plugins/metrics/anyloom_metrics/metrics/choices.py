"""Which of several words an answer shows or says, as CoBSAT asks: the one that is given and the one to be inferred."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from torch import Tensor
from torch.nn.functional import normalize

from anyloom.interfaces import Evaluated, Sample, ValueInfo
from anyloom_metrics.metrics.asked import answered, fault_of
from anyloom_metrics.metrics.contract import Contract
from anyloom_metrics.metrics.looking import Looking
from anyloom_metrics.metrics.means import MeanMetric
from anyloom_metrics.metrics.pairs import media_of
from anyloom_metrics.metrics.rows import RowConfig

__all__ = ["ChoiceAccuracy", "says_only"]

_ASPECTS = ("given", "inferred")


class ChoiceAccuracy(MeanMetric):
    """Share of answers that show the right word of each list, ``provenance["choices"]`` and ``["chosen"]``.

    Pictures (or sounds) are classified by the nearest text under an extractor with two towers; without one, the words
    of the answer are read: the right word must be there, and no other of its list (CoBSAT, arXiv 2402.01293, tells the
    two aspects apart in the same way, with a large model as judge: its numbers are not these).

    >>> from anyloom.conversation import Conversation, Message
    >>> lists = {"given": ["red", "blue"], "inferred": ["hat", "cup"]}
    >>> facts = {"choices": lists, "chosen": {"given": 1, "inferred": 0}}
    >>> asked = Sample(Conversation([Message("user", "blue: "), Message("assistant", "a blue hat")]), "infer", facts)
    >>> metric = ChoiceAccuracy(ChoiceAccuracy.Config())
    >>> metric.update([Evaluated(asked, Message("assistant", said)) for said in ("a blue hat", "a blue cup")])
    >>> values = metric.compute()
    >>> [values[f"infer/{name}"].item() for name in ("given", "inferred", "all")]
    [1.0, 0.5, 0.5]
    """

    class Config(RowConfig):
        """Options.

        Args:
            extractor: The network, ``{name: clip-joint, weights: ...}``; None reads the text of answers.
            modality: What is looked at.
            template: Text for a word.
        """

        extractor: dict[str, Any] | None = None
        modality: str = "image"
        template: str = "a photo of {}"

    config: Config
    columns: ClassVar[tuple[str, ...]] = ("all", *_ASPECTS)
    measures: Mapping[str, ValueInfo] = {
        "all": ValueInfo("Both right", "Share of answers in which the given and the inferred word are right."),
        "given": ValueInfo("Given word right", "Share of answers that show what the question names."),
        "inferred": ValueInfo("Inferred word right", "Share of answers that show what the examples have in common."),
    }

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self._looking = None if config.extractor is None else Looking(config.extractor, config.modality)
        self.needs_media = self._looking is not None

    def load(self) -> None:
        """Load the extractor, if there is one."""
        if self._looking is not None:
            self._looking.encoder()

    def contract(self) -> Contract:
        """Answers and lists of words."""
        return Contract(("answer", "choices"), paired=True, value_range=(0, 1) if self._looking else None)

    def wants(self, sample: Sample) -> bool:
        """Samples with lists of words."""
        return super().wants(sample) and isinstance(sample.provenance.get("choices"), Mapping)

    def refuse(self, evaluated: Evaluated) -> str:
        """Answers that are missing or broken."""
        if self._looking is None:
            return "" if evaluated.answer.text.strip() else "no answer"
        return fault_of(answered(evaluated, self.config.modality))

    def measured(self, evaluated: Sequence[Evaluated]) -> list[dict[str, float]]:
        """1 for right, 0 for wrong."""
        found = []
        for one in evaluated:
            right = {}
            for aspect, words in one.sample.provenance["choices"].items():
                wanted = int(one.sample.provenance["chosen"][aspect])
                right[aspect] = float(self._right(one, [str(word) for word in words], wanted))
            found.append({**right, "all": float(all(right.values()))})
        return found

    def _right(self, one: Evaluated, words: Sequence[str], wanted: int) -> bool:
        if self._looking is None:
            return says_only(one.answer.text, words, wanted)
        made = self._looking.media([media_of(answered(one, self.config.modality))], self.place)[0].flatten()
        texts: Tensor = self._looking.texts([self.config.template.format(word) for word in words], self.place)
        return int((normalize(texts, dim=1) @ normalize(made, dim=0)).argmax()) == wanted


def says_only(text: str, words: Sequence[str], wanted: int) -> bool:
    """Whether a text has one of some words, and none of the others.

    >>> says_only("A red hat.", ["blue", "red"], 1), says_only("A red and blue hat", ["blue", "red"], 1)
    (True, False)
    """
    said = {n for n, word in enumerate(words) if re.search(rf"\b{re.escape(word)}\b", text, re.IGNORECASE)}
    return said == {wanted}
