"""How far a decoded sound's spectrum is from the target's, beside how far the input's is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import soxr
import torch
from torch import Tensor

from anyloom.conversation import Media
from anyloom.interfaces import ComponentConfig, Evaluated, Sample, ValueInfo
from anyloom_incontext.grouping import GroupedMeans, ratio
from anyloom_incontext.provenance import edit_of, wants_media

__all__ = ["SpectralDistance", "log_spectral_distance"]


def log_spectral_distance(
    estimate: Tensor, target: Tensor, *, size: int = 512, hop: int = 160, floor: float = 1e-12
) -> Tensor:
    """Mean over frames of the RMS over frequencies of the difference of log10 power spectra.

    Args:
        estimate: Waves ``(..., T)``.
        target: Waves ``(..., T')``; the shorter one is filled up with silence.
        size: Samples per window (Hann).
        hop: Samples between windows.
        floor: Power below which everything counts as equally silent.

    Returns:
        Distances ``(...)``; 1 means a factor of ten in power, 10 dB, at every frequency.

    >>> wave = torch.randn(16000, generator=torch.Generator().manual_seed(0))
    >>> round(float(log_spectral_distance(10 * wave, wave)), 3)
    2.0
    """
    length = max(estimate.shape[-1], target.shape[-1], size)
    first, second = (_log_power(x, length, size, hop, floor) for x in (estimate, target))
    distances: Tensor = (first - second).square().mean(1).sqrt().mean(-1)
    return distances.reshape(estimate.shape[:-1])


def _log_power(wave: Tensor, length: int, size: int, hop: int, floor: float) -> Tensor:
    """Log10 power ``(N, F, frames)`` of waves filled up to ``length``."""
    filled = torch.nn.functional.pad(wave, (0, length - wave.shape[-1])).reshape(-1, length)
    window = torch.hann_window(size, dtype=wave.dtype)
    spectrum = torch.stft(filled, size, hop, window=window, pad_mode="constant", center=True, return_complex=True)
    return (spectrum.abs().square() + floor).log10()


class SpectralDistance(GroupedMeans):
    """Log-spectral distance to the target; ``relative`` below 1 is better than copying the input.

    >>> from anyloom.conversation import Conversation, Message
    >>> from anyloom.interfaces import Sample
    >>> tone, rate = torch.sin(torch.arange(16000) * 0.1)[None], {"sample_rate": 16000.0}
    >>> loud, softer, soft = (Media("audio", tone * v, key=f"{v}", meta=rate) for v in (1, 0.2, 0.1))
    >>> asked = Sample(Conversation([Message("user", ["Softer.", loud]), Message("assistant", [soft])]), "edit")
    >>> metric = SpectralDistance(SpectralDistance.Config())
    >>> metric.update([Evaluated(asked, Message("assistant", [softer]))])
    >>> values = metric.compute()
    >>> values["edit/distance"].item() < values["edit/distance_copying"].item(), values["edit/copy_rate"].item()
    (True, 0.0)
    """

    class Config(ComponentConfig):
        """Options.

        Args:
            modality: Modality of the sounds; their tensors are ``(1, T)`` with ``sample_rate`` in ``meta``.
            tasks: Tasks that count; None takes all with such a target.
            floor: Power below which everything counts as silent; the default is 10 dB above what a 16-bit file can
                hold, so that inaudible differences in silence do not count.
        """

        modality: str = "audio"
        tasks: tuple[str, ...] | None = None
        floor: float = 1e-4

    config: Config
    needs_media = True
    columns: ClassVar[tuple[str, ...]] = ("distance", "distance_copying", "copy_rate")
    measures: Mapping[str, ValueInfo] = {
        "distance": ValueInfo(
            "Log-spectral distance of the sound",
            "Root mean square difference of the log10 power spectra of the generated sound and the target, averaged "
            "over time; 1 is 10 dB at every frequency.",
            better="lower",
            form="number",
        ),
        "relative": ValueInfo(
            "Log-spectral distance of the sound relative to copying the input",
            "Below 1 the generated sound is nearer to the target than the input is.",
            better="lower",
            form="number",
        ),
        "copy_rate": ValueInfo(
            "Sounds that copy the input",
            "Share of generated sounds whose log-spectral distance to the input is smaller than to the target.",
            better="lower",
        ),
    }

    def wants(self, sample: Sample) -> bool:
        """Samples whose target is of the modality."""
        return wants_media(sample, self.config.modality, self.config.tasks)

    def update(self, evaluated: list[Evaluated]) -> None:
        """Compare decoded sounds with targets; an answer without a sound counts as silence."""
        for one in evaluated:
            edit = edit_of(one.sample, self.config.modality)
            if edit is None:
                continue
            rate = edit.target.meta.get("sample_rate", 16000.0)
            target = edit.target.tensor().float()[0]
            answered = [m for m in one.answer.media if m.modality == self.config.modality and m.has_data]
            made = _at(answered[0], rate) if answered else target * 0
            distance = self._distance(made, target)
            values: dict[str, float | None] = {"distance": distance}
            if edit.source is not None:
                source = _at(edit.source, rate)
                values["distance_copying"] = self._distance(source, target)
                values["copy_rate"] = float(self._distance(made, source) < distance)
            self.record(one.sample, values)

    def _distance(self, estimate: Tensor, target: Tensor) -> float:
        return float(log_spectral_distance(estimate, target, floor=self.config.floor))

    def derived(self, means: dict[str, Tensor]) -> dict[str, Tensor]:
        """The ratio of the mean distances."""
        if "distance_copying" not in means:
            return {}
        relative = ratio(means["distance"], means["distance_copying"])
        return {"relative": relative, "relative_copying": relative / relative}


def _at(media: Media, rate: float) -> Tensor:
    """The wave ``(T,)`` of a sound at a sample rate."""
    wave, own = media.tensor().detach().float().cpu()[0], media.meta.get("sample_rate", rate)
    return wave if own == rate else torch.from_numpy(soxr.resample(wave.numpy(), own, rate)).float()
