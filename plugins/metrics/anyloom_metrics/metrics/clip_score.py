"""CLIPScore of generated pictures, or of captions of given ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import torch

from anyloom.conversation import Media
from anyloom.interfaces import Evaluated, Sample, ValueInfo
from anyloom_metrics.functional.clip_score import CLIPConvention, clip_score, ref_clip_score
from anyloom_metrics.metrics.asked import answered, fault_of, input_of, prompt_of
from anyloom_metrics.metrics.contract import Contract
from anyloom_metrics.metrics.pairs import LookingConfig, LookingMetric, media_of

__all__ = ["CLIPScore"]

_PREFIX = "A photo depicts "


class CLIPScore(LookingMetric):
    """CLIPScore, and RefCLIPScore where every sample has references.

    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from anyloom_metrics.tiny_metrics import clip_score
    >>> with TemporaryDirectory() as folder:
    ...     case = clip_score(Path(folder))  # a small random CLIP, and six edits of pictures
    ...     metric = CLIPScore(CLIPScore.Config(**case.options))
    ...     metric.update(case.evaluated)
    ...     sorted(name for name in metric.compute() if name.count("/") == 1)
    ['edit/count', 'edit/flagged', 'edit/ref_score', 'edit/score']
    """

    class Config(LookingConfig):
        """Options.

        Args:
            convention: ``hessel`` is 2.5 max(cos, 0) after the prefix "A photo depicts "; ``torchmetrics`` is 100 cos
                without a prefix.
            judges: ``picture`` scores generated pictures against prompts, ``caption`` generated texts against the
                picture of the prompt.
        """

        convention: CLIPConvention = "hessel"
        judges: Literal["picture", "caption"] = "picture"

    config: Config
    columns: ClassVar[tuple[str, ...]] = ("score", "ref_score")
    measures: Mapping[str, ValueInfo] = {
        "score": ValueInfo("CLIPScore", "Likeness of picture and text, as CLIP sees them.", form="number"),
        "ref_score": ValueInfo("RefCLIPScore", "The same, with the nearest reference text.", form="number"),
    }

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.needs_media = config.judges == "picture"
        # torchmetrics cuts off the mean, Hessel each score
        self.floors = {"score": 0.0} if config.convention == "torchmetrics" else {}

    def contract(self) -> Contract:
        """Picture and text."""
        inputs = ("answer", "prompt") if self.config.judges == "picture" else ("answer", "input", "references")
        preset = "clipscore@1036465" if self.config.convention == "hessel" else "torchmetrics@1.9"
        return Contract(inputs, paired=True, value_range=(0, 1), preset=preset)

    def wants(self, sample: Sample) -> bool:
        """Samples that ask for a picture, or for a text about one."""
        if self.config.judges == "picture":
            return super().wants(sample)
        right_task = self.config.tasks is None or sample.task in self.config.tasks
        return right_task and input_of(sample, self.config.modality) is not None

    def refuse(self, evaluated: Evaluated) -> str:
        """Pictures that are missing or broken, texts that are empty."""
        picture, text = self._pair(evaluated)
        fault = fault_of(picture, reference=self.config.judges == "caption")
        return fault or ("" if text else "no text")

    def measured(self, evaluated: Sequence[Evaluated]) -> list[dict[str, float]]:
        """Scores, with references where all of these samples have some."""
        hessel = self.config.convention == "hessel"
        prefix = _PREFIX if hessel else ""
        pictures = self.features([media_of(self._pair(e)[0]) for e in evaluated])
        texts = self.texts([prefix + self._pair(e)[1] for e in evaluated])
        found = [{"score": s} for s in clip_score(pictures, texts, convention=self.config.convention).tolist()]
        for i, one in enumerate(evaluated):
            if references := [prefix + str(t) for t in one.sample.provenance.get("references", ())] if hessel else []:
                owners = torch.zeros(len(references), dtype=torch.long)
                row = slice(i, i + 1)
                found[i]["ref_score"] = float(ref_clip_score(pictures[row], texts[row], self.texts(references), owners))
        return found

    def _pair(self, evaluated: Evaluated) -> tuple[Media | None, str]:
        if self.config.judges == "picture":
            return answered(evaluated, self.config.modality), prompt_of(evaluated.sample)
        return input_of(evaluated.sample, self.config.modality), evaluated.answer.text.strip()
