"""Subject fidelity (DINO, CLIP-I), prompt fidelity (CLIP-T) and the CLAP score of answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

import torch

from anyloom.conversation import Media
from anyloom.interfaces import Evaluated, Sample, ValueInfo
from anyloom_metrics.functional.alignment import frame_text_alignment, image_alignment, text_image_alignment
from anyloom_metrics.metrics.asked import answered, fault_of, input_of, prompt_of
from anyloom_metrics.metrics.contract import Contract
from anyloom_metrics.metrics.looking import Looking
from anyloom_metrics.metrics.pairs import LookingConfig, LookingMetric, media_of

__all__ = ["ClapScore", "FrameTextAlignment", "ImageAlignment", "TextAlignment"]


class ImageAlignment(LookingMetric):
    """Cosine of answers with real pictures of the same subject: DINO with ``dino``, CLIP-I with ``clip-joint``.

    >>> from anyloom_metrics.tiny_metrics import DINO, edits, picture
    >>> metric = ImageAlignment(ImageAlignment.Config(extractor=DINO))  # a small random network
    >>> metric.update(edits(picture))
    >>> sorted(name for name in metric.compute() if name.count("/") == 1)
    ['edit/alignment', 'edit/count', 'edit/flagged']
    """

    class Config(LookingConfig):
        """Options.

        Args:
            pairing: ``input`` compares with the picture of the prompt (KOSMOS-G's protocol), ``all`` with every
                picture in ``provenance["real"]`` (DreamBooth's). Their numbers do not compare.
        """

        pairing: Literal["input", "all"] = "input"

    config: Config
    columns: ClassVar[tuple[str, ...]] = ("alignment",)
    floors: Mapping[str, float] = {"alignment": 0.0}
    measures: Mapping[str, ValueInfo] = {
        "alignment": ValueInfo("Subject fidelity", "Cosine of the answer with real pictures.", form="number")
    }

    def contract(self) -> Contract:
        """One real picture or all of them."""
        if self.config.pairing == "input":
            return Contract(("answer", "input"), paired=True, value_range=(0, 1), preset="kosmos-g@f5c0489")
        return Contract(("answer", "real"), paired=False, value_range=(0, 1), preset="dreambooth")

    def refuse(self, evaluated: Evaluated) -> str:
        """Answers that are missing or broken, subjects without a real picture."""
        real = self._real(evaluated.sample)
        if fault := fault_of(answered(evaluated, self.config.modality)) or (
            "" if real else fault_of(None, reference=True)
        ):
            return fault
        return next((f for m in real if (f := fault_of(m, reference=True))), "")

    def measured(self, evaluated: Sequence[Evaluated]) -> list[dict[str, float]]:
        """Cosines."""
        made = self.features([media_of(answered(e, self.config.modality)) for e in evaluated])
        real = [self._real(e.sample) for e in evaluated]
        references = self.features([m for media in real for m in media])
        if self.config.pairing == "input":
            found = image_alignment(made, references)
        else:
            own = torch.arange(len(made))
            owners = own, own.repeat_interleave(torch.tensor([len(media) for media in real]))
            found = image_alignment(made, references, pairing="all", owners=owners)
        return [{"alignment": value} for value in found.tolist()]

    def _real(self, sample: Sample) -> list[Media]:
        if self.config.pairing == "all":
            return [m for m in sample.provenance.get("real", ()) if isinstance(m, Media)]
        found = input_of(sample, self.config.modality)
        return [] if found is None else [found]


class TextAlignment(LookingMetric):
    """Cosine of answers with their prompts, CLIP-T with ``clip-joint``.

    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from anyloom_metrics.tiny_metrics import text_image
    >>> with TemporaryDirectory() as folder:
    ...     case = text_image(Path(folder))  # a small random CLIP, and six edits of pictures
    ...     metric = TextAlignment(TextAlignment.Config(**case.options))
    ...     metric.update(case.evaluated)
    ...     bool(metric.compute()["edit/alignment"].abs() <= 1)
    True
    """

    class Config(LookingConfig):
        """Options; none beside those of all such metrics."""

    config: Config
    columns: ClassVar[tuple[str, ...]] = ("alignment",)
    measures: Mapping[str, ValueInfo] = {
        "alignment": ValueInfo("Prompt fidelity", "Cosine of the answer with the text it should show.", form="number")
    }

    def contract(self) -> Contract:
        """Answer and prompt; the prompt of a subject has its class noun and no made-up token."""
        if self.config.modality == "image":
            return Contract(("answer", "prompt"), paired=True, value_range=(0, 1), preset="kosmos-g@f5c0489")
        return Contract(("answer", "prompt"), paired=True, sample_rate=self._looking.sample_rate)

    def refuse(self, evaluated: Evaluated) -> str:
        """Answers that are missing or broken, prompts without text."""
        return fault_of(answered(evaluated, self.config.modality)) or ("" if prompt_of(evaluated.sample) else "no text")

    def measured(self, evaluated: Sequence[Evaluated]) -> list[dict[str, float]]:
        """Cosines."""
        made = self.features([media_of(answered(e, self.config.modality)) for e in evaluated])
        found = text_image_alignment(made, self.texts([prompt_of(e.sample) for e in evaluated]))
        return [{"alignment": value} for value in found.tolist()]


class ClapScore(TextAlignment):
    """Cosine of sounds with their prompts under CLAP.

    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from anyloom_metrics.tiny_metrics import clap_score
    >>> with TemporaryDirectory() as folder:
    ...     case = clap_score(Path(folder))  # a small random CLAP, and six edits of sounds
    ...     metric = ClapScore(ClapScore.Config(**case.options))
    ...     metric.update(case.evaluated)
    ...     bool(metric.compute()["edit/alignment"].abs() <= 1)
    True
    """

    class Config(TextAlignment.Config):
        """Options; ``extractor: {name: clap-joint, weights: ...}``."""

        modality: str = "audio"

    config: Config
    measures: Mapping[str, ValueInfo] = {
        "alignment": ValueInfo("CLAP score", "Cosine of the sound with the text it should show.", form="number")
    }


class FrameTextAlignment(TextAlignment):
    """CLIPSIM of clips: the frames' mean cosine with the prompt under CLIP.

    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from anyloom_metrics.tiny_metrics import frame_text
    >>> with TemporaryDirectory() as folder:
    ...     case = frame_text(Path(folder))  # a small random CLIP, and six edits of clips
    ...     metric = FrameTextAlignment(FrameTextAlignment.Config(**case.options))
    ...     metric.update(case.evaluated)
    ...     bool(metric.compute()["edit/alignment"].abs() <= 1)
    True
    """

    class Config(TextAlignment.Config):
        """Options; the extractor is one of pictures.

        Args:
            modality: Modality of the clips, ``(T, 3, H, W)``.
        """

        modality: str = "video"

    config: Config
    measures: Mapping[str, ValueInfo] = {
        "alignment": ValueInfo("CLIPSIM of clips", "Mean cosine of the frames with the text.", form="number")
    }

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self._looking = Looking(config.extractor, "image")  # at one frame at a time

    def contract(self) -> Contract:
        """Clip and prompt."""
        return Contract(("answer", "prompt"), paired=True, value_range=(0, 1), preset="godiva")

    def measured(self, evaluated: Sequence[Evaluated]) -> list[dict[str, float]]:
        """Mean cosines."""
        prompts = self.texts([prompt_of(e.sample) for e in evaluated])
        found = []
        for one, prompt in zip(evaluated, prompts):
            clip = media_of(answered(one, self.config.modality))
            frames = self.features([Media("image", frame, path=clip.path) for frame in clip.tensor()])
            found.append({"alignment": float(frame_text_alignment(frames[None], prompt[None]))})
        return found
