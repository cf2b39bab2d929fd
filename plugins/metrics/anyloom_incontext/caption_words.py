"""Which words of the target a generated text has."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field

from anyloom.interfaces import ComponentConfig, Evaluated, Sample, ValueInfo
from anyloom_incontext.grouping import GroupedMeans

__all__ = ["CaptionWords", "word_recall", "words_of"]

_WORD = re.compile(r"[^\W_]+(?:['-][^\W_]+)*")


def words_of(text: str) -> list[str]:
    """The words of a text in lower case, without punctuation.

    >>> words_of("A woman's hand -- medium-dark skin.")
    ['a', "woman's", 'hand', 'medium-dark', 'skin']
    """
    return _WORD.findall(text.lower())


def word_recall(answer: str, target: str) -> float:
    """Share of the target's distinct words that the answer has; 1 for a target without words.

    >>> word_recall("a red hat", "the red hat")
    0.6666666666666666
    """
    wanted = set(words_of(target))
    return len(wanted & set(words_of(answer))) / len(wanted) if wanted else 1.0


class CaptionWords(GroupedMeans):
    """Exact match and word recall of the text of an answer; and whether it names given attributes.

    Each attribute is a group ``<task>/<attribute>`` with the value ``named``: whether the answer says of it what the
    target says.

    >>> from anyloom.conversation import Conversation, Message
    >>> asked = Sample(Conversation([Message("user", "?"), Message("assistant", "a red hat, noto style")]), "name")
    >>> metric = CaptionWords(CaptionWords.Config(attributes={"style": "(noto|twemoji) style"}))
    >>> metric.update([Evaluated(asked, Message("assistant", "a hat, noto style"))])
    >>> values = metric.compute()
    >>> {name: round(values[name].item(), 2) for name in ("name/exact", "name/recall", "name/style/named")}
    {'name/exact': 0.0, 'name/recall': 0.8, 'name/style/named': 1.0}
    """

    class Config(ComponentConfig):
        """Options.

        Args:
            tasks: Tasks that count; None takes all whose target has text.
            attributes: Regular expressions with one group, by attribute. What the group matches in the target must
                be matched in the answer too; targets without a match do not count. ``provenance["words"]``
                comes first.
        """

        tasks: tuple[str, ...] | None = None
        attributes: dict[str, str] = Field(default_factory=dict)

    config: Config
    columns: ClassVar[tuple[str, ...]] = ("exact", "recall", "named")
    measures: Mapping[str, ValueInfo] = {
        "exact": ValueInfo("Text equal to the target", "Share of answers with the same words in the same order."),
        "recall": ValueInfo(
            "Words of the target that are in the answer", "Share of the target's distinct words that the answer has."
        ),
        "named": ValueInfo(
            "Attributes named in the text",
            "Share of answers with the word of the attribute that the picture or sound really has.",
        ),
    }

    def wants(self, sample: Sample) -> bool:
        """Samples whose target has text."""
        right_task = self.config.tasks is None or sample.task in self.config.tasks
        return right_task and bool(sample.conversation.messages[-1].text.strip())

    def update(self, evaluated: list[Evaluated]) -> None:
        """Compare texts word by word."""
        for one in evaluated:
            answer, target = one.answer.text, one.sample.conversation.messages[-1].text
            exact = float(words_of(answer) == words_of(target))
            self.record(one.sample, {"exact": exact, "recall": word_recall(answer, target)})
            for attribute, named in self._named(one.sample, answer, target).items():
                self.record(one.sample, {"named": float(named)}, [f"{one.sample.task}/{attribute}"])

    def _named(self, sample: Sample, answer: str, target: str) -> dict[str, bool]:
        words: Mapping[str, str] = sample.provenance.get("words", {})
        found = {attribute: _has(answer, word) for attribute, word in words.items()}
        for attribute, pattern in self.config.attributes.items():
            right, given = re.search(pattern, target), re.search(pattern, answer)
            if right is not None and attribute not in found:
                found[attribute] = given is not None and given[1] == right[1]
        return found


def _has(answer: str, word: str) -> bool:
    """Whether the words of an attribute stand in the answer, in a row."""
    wanted, given = words_of(word), words_of(answer)
    return any(given[i : i + len(wanted)] == wanted for i in range(len(given) - len(wanted) + 1))
