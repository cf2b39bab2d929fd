"""Fidelity of pictures to their targets: PSNR, SSIM, LPIPS."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from anyloom.conversation import Media
from anyloom.interfaces import Evaluated, ValueInfo
from anyloom_metrics.extractors.perceptual import PerceptualNetwork
from anyloom_metrics.functional.psnr import psnr
from anyloom_metrics.functional.ssim import Border, Window, ssim
from anyloom_metrics.metrics.contract import Contract
from anyloom_metrics.metrics.pairs import PairConfig, PairMetric, media_of
from anyloom_metrics.preparation.pictures import unit_picture

__all__ = ["LPIPS", "PSNR", "SSIM"]

_EQUAL = 100.0


class _PictureMetric(PairMetric):
    """Base of metrics of two pictures of one size, in 0..1."""

    def contract(self) -> Contract:
        """Pairs of one size; bytes, or floats in 0..1."""
        return Contract(("answer", "target"), paired=True, value_range=(0, 1), preset=self.preset())

    def preset(self) -> str:
        """The published form."""
        return ""

    def both(self, evaluated: Evaluated) -> tuple[Tensor, Tensor]:
        """Answer and target ``(1, 3, H, W)`` in 0..1.

        Raises:
            anyloom.errors.MediaError: A picture's range is unknown.
        """
        first, second = (_unit(media_of(m)) for m in self.pair(evaluated))
        return first, second


class PSNR(_PictureMetric):
    """Peak signal-to-noise ratio per picture, then averaged; equal pictures count as 100 dB.

    >>> from anyloom.conversation import Conversation, Message
    >>> from anyloom.interfaces import Sample
    >>> grey, darker = (Media("image", torch.full((3, 16, 16), level)) for level in (0.5, 0.4))
    >>> asked = Sample(Conversation([Message("user", "all grey"), Message("assistant", [grey])]), "draw")
    >>> metric = PSNR(PSNR.Config())
    >>> metric.update([Evaluated(asked, Message("assistant", [darker]))])
    >>> round(metric.compute()["draw/psnr"].item(), 3)
    20.0
    """

    class Config(PairConfig):
        """Options; none beside those of all metrics of pairs."""

    columns: ClassVar[tuple[str, ...]] = ("psnr",)
    measures: Mapping[str, ValueInfo] = {
        "psnr": ValueInfo("PSNR", "In dB, averaged over pictures; equal pictures count as 100 dB.", form="number")
    }

    def measured(self, evaluated: Sequence[Evaluated]) -> list[dict[str, float]]:
        """Ratios in dB."""
        return [{"psnr": min(_EQUAL, float(psnr(*self.both(e), data_range=1.0)))} for e in evaluated]


class SSIM(_PictureMetric):
    """Structural similarity.

    >>> from anyloom.conversation import Conversation, Message
    >>> from anyloom.interfaces import Sample
    >>> noise = torch.rand(3, 32, 32, generator=torch.Generator().manual_seed(0))
    >>> wanted, moved = Media("image", noise), Media("image", noise.roll(1, dims=2))
    >>> asked = Sample(Conversation([Message("user", "noise"), Message("assistant", [wanted])]), "draw")
    >>> made = [Evaluated(asked, Message("assistant", [picture])) for picture in (wanted, moved)]
    >>> [round(one["ssim"], 1) for one in SSIM(SSIM.Config()).measured(made)]
    [1.0, -0.0]
    """

    class Config(PairConfig):
        """Options.

        Args:
            window: ``gaussian`` of 11 pixels or ``uniform`` of 7.
            border: ``crop`` leaves out windows that reach over the edge (scikit-image), ``reflect`` counts them
                (torchmetrics).
        """

        window: Window = "gaussian"
        border: Border = "crop"

    config: Config
    columns: ClassVar[tuple[str, ...]] = ("ssim",)
    measures: Mapping[str, ValueInfo] = {
        "ssim": ValueInfo("SSIM", "Structural similarity; 1 for equal pictures.", form="number")
    }

    def preset(self) -> str:
        """Whose windows and borders these are."""
        return "torchmetrics@1.9" if self.config.border == "reflect" else f"scikit-image, {self.config.window} window"

    def measured(self, evaluated: Sequence[Evaluated]) -> list[dict[str, float]]:
        """Similarities."""
        window, border = self.config.window, self.config.border
        return [{"ssim": float(ssim(*self.both(e), data_range=1.0, window=window, border=border))} for e in evaluated]


class LPIPS(_PictureMetric):
    """Perceptual distance in the layers of AlexNet.

    >>> from tempfile import TemporaryDirectory
    >>> from anyloom_metrics.tiny_metrics import lpips
    >>> with TemporaryDirectory() as folder:
    ...     case = lpips(Path(folder))  # a random network in the file's form, and pictures of noise
    ...     metric = LPIPS(LPIPS.Config(**case.options))
    ...     metric.update(case.evaluated)
    ...     float(metric.compute()["edit/lpips"]) > 0
    True
    """

    class Config(PairConfig):
        """Options.

        Args:
            weights: Safetensors file with the state dict of ``lpips.LPIPS(net="alex")``.
        """

        weights: Path

    config: Config
    columns: ClassVar[tuple[str, ...]] = ("lpips",)
    measures: Mapping[str, ValueInfo] = {
        "lpips": ValueInfo("LPIPS", "Distance of two pictures as a network sees them.", better="lower", form="number")
    }

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self._network: list[PerceptualNetwork] = []  # in a list, so that it is no part of this module

    def __getstate__(self) -> dict[str, Any]:
        """Leave the network behind."""
        return {**super().__getstate__(), "_network": []}

    def load(self) -> None:
        """Load the network, once."""
        if not self._network:
            network = PerceptualNetwork()
            network.load(self.config.weights)
            self._network.append(network)

    def preset(self) -> str:
        """Version and network."""
        return "lpips@0.1.4 alex"

    def measured(self, evaluated: Sequence[Evaluated]) -> list[dict[str, float]]:
        """Distances."""
        self.load()
        network = self._network[0].to(self.place)
        found = []
        for one in evaluated:
            first, second = (2 * picture.float().to(self.place) - 1 for picture in self.both(one))
            with torch.no_grad():
                found.append({"lpips": float(network(first, second).sum())})
        return found


def _unit(media: Media) -> Tensor:
    return unit_picture(media.tensor().detach().cpu(), media.path or media.key)[None]
