"""CLIP directional similarity of edits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from anyloom.interfaces import Evaluated, Sample, ValueInfo
from anyloom_metrics.functional.directional import EditSimilarities, edit_similarities
from anyloom_metrics.metrics.asked import answered, fault_of, input_of
from anyloom_metrics.metrics.contract import Contract
from anyloom_metrics.metrics.pairs import LookingConfig, LookingMetric, media_of

__all__ = ["CLIPDirectional"]

_TEXTS = ("caption", "edited_caption")


class CLIPDirectional(LookingMetric):
    """The four CLIP similarities that InstructPix2Pix reports of an edit.

    CoDi-2's "CLIPSIM" is not defined in its paper. That it is ``directional`` is what its size and its baselines
    suggest; the alias ``clipsim`` stands for this metric.

    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from anyloom_metrics.tiny_metrics import directional
    >>> with TemporaryDirectory() as folder:
    ...     case = directional(Path(folder))  # a small random CLIP, and six edits of pictures
    ...     metric = CLIPDirectional(CLIPDirectional.Config(**case.options))
    ...     metric.update(case.evaluated)
    ...     sorted(name for name in metric.compute() if name.count("/") == 1)
    ['edit/count', 'edit/directional', 'edit/flagged', 'edit/image', 'edit/input_text', 'edit/output_text']
    """

    class Config(LookingConfig):
        """Options; the published numbers need CLIP ViT-L/14 with ``resize: instruct-pix2pix``."""

    config: Config
    columns: ClassVar[tuple[str, ...]] = EditSimilarities._fields
    measures: Mapping[str, ValueInfo] = {
        "directional": ValueInfo(
            "Directional similarity",
            "Change of the picture with change of the caption, to CLIP.",
            form="number",
        ),
        "image": ValueInfo("Likeness to the input", "Cosine of input and answer.", form="number"),
        "output_text": ValueInfo("Likeness to the edited caption", "Cosine of answer and text.", form="number"),
        "input_text": ValueInfo("Input and its caption", "Cosine; says how well the caption fits.", form="number"),
    }

    def contract(self) -> Contract:
        """Answer, input and whole captions before and after."""
        resize = getattr(self._looking.config, "resize", "its own")
        preset = "instruct-pix2pix@0dffd1e" + ("" if resize == "instruct-pix2pix" else f", but resized as {resize}")
        return Contract(("answer", "input", *_TEXTS), paired=True, value_range=(0, 1), preset=preset)

    def refuse(self, evaluated: Evaluated) -> str:
        """Answers or inputs that are missing or broken, samples without both captions."""
        source = input_of(evaluated.sample, self.config.modality)
        fault = fault_of(answered(evaluated, self.config.modality)) or fault_of(source, reference=True)
        return fault or ("" if all(_texts(evaluated.sample)) else "no text")

    def measured(self, evaluated: Sequence[Evaluated]) -> list[dict[str, float]]:
        """All four."""
        modality = self.config.modality
        before = self.features([media_of(input_of(e.sample, modality)) for e in evaluated])
        after = self.features([media_of(answered(e, modality)) for e in evaluated])
        texts = [self.texts(column) for column in zip(*(_texts(e.sample) for e in evaluated))]
        found = edit_similarities(before, after, *texts)
        return [dict(zip(found._fields, row)) for row in zip(*(column.tolist() for column in found))]


def _texts(sample: Sample) -> list[str]:
    return [str(sample.provenance.get(name) or "") for name in _TEXTS]
