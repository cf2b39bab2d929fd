"""Metrics of sounds: paired KL divergence and log-spectral distance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from pydantic import NonNegativeInt

from anyloom.interfaces import Evaluated, ValueInfo
from anyloom_metrics.functional.divergence import paired_kl_divergence
from anyloom_metrics.functional.spectral import log_spectral_distance
from anyloom_metrics.metrics.asked import answered, fault_of, pair_at_one_rate, target_of
from anyloom_metrics.metrics.contract import Contract
from anyloom_metrics.metrics.pairs import LookingConfig, LookingMetric, PairConfig, PairMetric, media_of

__all__ = ["LogSpectralDistance", "PairedKL"]

_MOST = 0.9


class LogSpectralDistance(PairMetric):
    """Log-spectral distance of answers to their targets, as audioldm_eval measures it.

    >>> import torch
    >>> from anyloom.conversation import Conversation, Media, Message
    >>> from anyloom.interfaces import Sample
    >>> noises = torch.randn(2, 1, 16000, generator=torch.Generator().manual_seed(0))
    >>> first, other = (Media("audio", noise, meta={"sample_rate": 16000}) for noise in noises)
    >>> asked = Sample(Conversation([Message("user", "Noise."), Message("assistant", [first])]), "sound")
    >>> answers = [Evaluated(asked, Message("assistant", [sound])) for sound in (first, other)]
    >>> [round(one["distance"], 1) for one in LogSpectralDistance(LogSpectralDistance.Config()).measured(answers)]
    [0.0, 0.8]
    """

    class Config(PairConfig):
        """Options.

        Args:
            offset: Samples by which answers are late. audioldm_eval assumes 1120 for its own vocoder.
        """

        modality: str = "audio"
        offset: NonNegativeInt = 0

    config: Config
    columns: ClassVar[tuple[str, ...]] = ("distance", "compared")
    measures: Mapping[str, ValueInfo] = {
        "distance": ValueInfo(
            "Log-spectral distance",
            "In decades of power: 1 is 10 dB everywhere.",
            better="lower",
            form="number",
        )
    }

    def contract(self) -> Contract:
        """Pairs at one rate."""
        preset = "audioldm_eval@4d6d18e" + ("" if self.config.offset == 1120 else f" with offset {self.config.offset}")
        return Contract(("answer", "target"), paired=True, preset=preset)

    def measured(self, evaluated: Sequence[Evaluated]) -> list[dict[str, float]]:
        """Distances, and the share of the longer sound that was compared: both are cut to the shorter."""
        found = []
        for one in evaluated:
            answer, target = self.pair(one)
            made, real, rate = pair_at_one_rate(media_of(answer), media_of(target))
            distance = float(log_spectral_distance(made, real, sample_rate=rate, offset=self.config.offset))
            found.append({"distance": distance, "compared": min(len(made), len(real)) / max(len(made), len(real))})
        return found

    def found_flags(self) -> dict[str, list[str]]:
        """Also pairs of very different length."""
        found = super().found_flags()
        for group, rows, _ in self.scored_rows():
            if short := int((rows[:, self.columns.index("compared")] < _MOST).sum()):
                said = (
                    f"{short} of {len(rows)} pairs differ in length by more than a tenth: only the shorter is compared"
                )
                found.setdefault(f"{group}/distance", []).append(said)
        return found


class PairedKL(LookingMetric):
    """KL divergence of the classes of answers from those of their targets; the extractor must give logits.

    >>> from anyloom_metrics.tiny_metrics import CNN, edits, sound
    >>> metric = PairedKL(PairedKL.Config(extractor=CNN))  # a random network; published numbers need its weights
    >>> metric.update(edits(sound))
    >>> sorted(name for name in metric.compute() if name.count("/") == 1)
    ['edit/count', 'edit/flagged', 'edit/sigmoid', 'edit/softmax']
    >>> metric.flags()["edit/softmax"]
    ['the extractor has no weights']
    """

    class Config(LookingConfig):
        """Options; ``extractor: {name: cnn14, features: logits, weights: ...}`` is audioldm_eval's."""

        modality: str = "audio"

    config: Config
    columns: ClassVar[tuple[str, ...]] = ("softmax", "sigmoid")
    measures: Mapping[str, ValueInfo] = {
        "softmax": ValueInfo(
            "KL divergence", "Of the classes that a network hears; what papers print.", better="lower", form="number"
        ),
        "sigmoid": ValueInfo(
            "KL divergence, each class by itself", "Sum over classes of the yes terms.", better="lower", form="number"
        ),
    }

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self._looking.require_logits()

    def contract(self) -> Contract:
        """Pairs at the extractor's rate."""
        return Contract(
            ("answer", "target"), paired=True, sample_rate=self._looking.sample_rate, preset="audioldm_eval@8dc07ee"
        )

    def refuse(self, evaluated: Evaluated) -> str:
        """Answers and targets that are missing, broken or silent."""
        modality = self.config.modality
        return fault_of(answered(evaluated, modality)) or fault_of(
            target_of(evaluated.sample, modality), reference=True
        )

    def measured(self, evaluated: Sequence[Evaluated]) -> list[dict[str, float]]:
        """Divergences in nats."""
        made = self.features([media_of(answered(e, self.config.modality)) for e in evaluated])
        real = self.features([media_of(target_of(e.sample, self.config.modality)) for e in evaluated])
        softmax, sigmoid = (paired_kl_divergence(made, real, form=form).tolist() for form in ("softmax", "sigmoid"))
        return [{"softmax": a, "sigmoid": b} for a, b in zip(softmax, sigmoid)]
