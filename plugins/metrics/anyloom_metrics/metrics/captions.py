"""BLEU, ROUGE-L and CIDEr of answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
import torch
from pydantic import NonNegativeInt
from torch import Tensor

from anyloom.interfaces import Evaluated, ValueInfo
from anyloom_metrics.functional.captions import CaptionScores, caption_scores, caption_words
from anyloom_metrics.functional.treebank import stanford_words
from anyloom_metrics.metrics.contract import Contract
from anyloom_metrics.metrics.rows import RowConfig
from anyloom_metrics.metrics.texts import TextMetric, references_of

__all__ = ["Captions"]

_FEW = 100


class Captions(TextMetric):
    """Caption metrics of COCO's evaluation. An empty answer counts as a caption without words.

    >>> from anyloom.conversation import Conversation, Message
    >>> from anyloom.interfaces import Sample
    >>> several = {"references": ["a dog barks in the rain", "rain and a barking dog"]}
    >>> asked = Sample(Conversation([Message("user", "?"), Message("assistant", "a dog barks")]), "hear", several)
    >>> metric = Captions(Captions.Config())
    >>> metric.update([Evaluated(asked, Message("assistant", "a dog barks in the sun"))])
    >>> {name: round(value.item(), 2) for name, value in metric.compute().items() if "bleu" in name}
    {'hear/bleu_1': 0.83, 'hear/bleu_2': 0.82, 'hear/bleu_3': 0.79, 'hear/bleu_4': 0.76}
    >>> metric.flags()
    {'hear/cider': ['word weights of 1 pictures: not comparable with other sets']}
    """

    class Config(RowConfig):
        """Options.

        Args:
            tokenizer: ``words`` splits words without any other program; ``stanford`` is what published COCO numbers
                went through, and needs Java.
            draws: Bootstrap draws for the standard error of BLEU; 0 leaves it out.
        """

        tokenizer: Literal["words", "stanford"] = "words"
        draws: NonNegativeInt = 20

    config: Config
    measures: Mapping[str, ValueInfo] = {
        **{
            f"bleu_{n}": ValueInfo(f"BLEU-{n}", f"Word sequences up to {n}, over all captions at once.")
            for n in (1, 2, 3, 4)
        },
        "rouge_l": ValueInfo("ROUGE-L", "Longest common subsequence with a reference."),
        "cider": ValueInfo(
            "CIDEr", "Agreement in telling words; depends on the references of all samples.", form="number"
        ),
    }

    def contract(self) -> Contract:
        """Texts and their references; METEOR and SPICE, which need Java, are left out."""
        preset = "pycocoevalcap@1.2" + ("" if self.config.tokenizer == "stanford" else ", own tokeniser")
        return Contract(("answer", "references"), paired=True, preset=preset)

    def update(self, evaluated: list[Evaluated]) -> None:
        """Keep tokenised texts."""
        references = [references_of(one) for one in evaluated]
        texts = [text for one, wanted in zip(evaluated, references) for text in (one.answer.text, *wanted)]
        stanford = self.config.tokenizer == "stanford"
        split = iter(stanford_words(texts) if stanford else map(caption_words, texts))
        for one, wanted in zip(evaluated, references):
            answer, *others = [next(split) for _ in range(1 + len(wanted))]
            self.note(one.sample, "" if others else "no reference")
            if others:
                self.keep([answer, others])

    def compute(self) -> dict[str, Tensor]:
        """Scores by ``<group>/<value>``, with ``<group>/count`` and ``<group>/flagged``."""
        found: dict[str, Tensor] = {}
        for group, members in self.members().items():
            if texts := self.in_order(members):
                found |= {f"{group}/{n}": torch.tensor(v) for n, v in _named(_scores(texts)).items()}
        return found | self.counts()

    def found_errors(self) -> dict[str, float]:
        """Bootstrapped for BLEU; for ROUGE-L and CIDEr the standard deviation of a mean over root N."""
        found: dict[str, float] = {}
        for group, members in self.members().items():
            if (n := len(texts := self.in_order(members))) < 2:
                continue
            scores = _scores(texts)
            each = {"rouge_l": scores.rouge_l_each, "cider": scores.cider_each}
            found |= {f"{group}/{name}": float(np.std(v, ddof=1)) / n**0.5 for name, v in each.items()}
            generator = np.random.RandomState(0)
            draws = [_scores([texts[i] for i in generator.randint(n, size=n)]).bleu for _ in range(self.config.draws)]
            if len(draws) > 1:
                errors = np.std(draws, axis=0, ddof=1).tolist()
                found |= {f"{group}/bleu_{k}": error for k, error in enumerate(errors, 1)}
        return found

    def found_flags(self) -> dict[str, list[str]]:
        """Also CIDEr over few pictures, whose weights of words mean little."""
        found = super().found_flags()
        for group, members in self.members().items():
            if len(members) < _FEW:
                said = f"word weights of {len(members)} pictures: not comparable with other sets"
                found.setdefault(f"{group}/cider", []).append(said)
        return found


def _scores(texts: list[tuple[str, list[str]]]) -> CaptionScores:
    return caption_scores([t[0] for t in texts], [t[1] for t in texts])


def _named(scores: CaptionScores) -> dict[str, float]:
    bleu = {f"bleu_{n}": value for n, value in enumerate(scores.bleu, 1)}
    return {**bleu, "rouge_l": scores.rouge_l, "cider": scores.cider}
