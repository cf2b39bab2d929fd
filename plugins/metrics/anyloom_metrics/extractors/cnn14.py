"""PANNs Cnn14 (arXiv 1912.10211), through which FD, KL and IS of sounds are measured."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

from pydantic import PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F

from anyloom.conversation import Media
from anyloom.interfaces import FeatureSpace
from anyloom.signal.mel import mel_filters, spectrogram
from anyloom_metrics.extractors.published import PublishedNetwork
from anyloom_metrics.extractors.sounds import heard

__all__ = ["CNN14", "log_mel"]

_BANDS, _LOW, _HIGH, _FLOOR, _CLASSES, _SHORTEST = 64, 50, 14000, 1e-10, 527, 32000
_WIDTHS = (64, 128, 256, 512, 1024, 2048)


class _Window(NamedTuple):
    size: int
    hop: int
    high: int


_WINDOWS = {16000: _Window(512, 160, 8000), 32000: _Window(1024, 320, _HIGH)}


def log_mel(waves: Tensor, sample_rate: int) -> Tensor:
    """Log-mel spectrum ``(B, frames, 64)`` in dB of waves ``(B, T)``, at 16 or 32 kHz.

    >>> import torch
    >>> log_mel(torch.zeros(1, 32_000), 32_000).shape
    torch.Size([1, 101, 64])
    """
    window = _WINDOWS[sample_rate]
    # float64, so that autocast leaves the product alone
    power = spectrogram(waves.double(), window.size, window.hop).abs().square()
    filters = mel_filters(_BANDS, window.size, sample_rate, _LOW, window.high).to(power)
    return (10 * (filters @ power).clamp(min=_FLOOR).log10().mT).float()


class CNN14(PublishedNetwork):
    """Cnn14 as published for 16 kHz (``Cnn14_16k_mAP=0.438``) and 32 kHz (``Cnn14_mAP=0.431``).

    ``pooled`` are 2048 numbers after the last ReLU, as audioldm_eval takes them for FD; ``logits`` are 527 classes of
    AudioSet before the sigmoid, for KL and IS.

    >>> print(CNN14(CNN14.Config(thin=32, features="logits")).feature_space("audio"))
    cnn14-16k-logits (1 x 527, raw)
    """

    modality = "audio"
    unused = ("spectrogram_extractor.", "logmel_extractor.")

    class Config(PublishedNetwork.Config):
        """Options.

        Args:
            sample_rate: 16000 or 32000, the rate of the weights.
            features: ``pooled`` or ``logits``.
            resample: Bring sounds of other rates to this one instead of refusing them. Moves FD by tens.
            seconds: Cut or fill up every sound to this length; by default each keeps its own, of at least
                32000 samples.
            thin: Divide every number of channels; 1 is the published network.
        """

        sample_rate: Literal[16000, 32000] = 16000
        features: Literal["pooled", "logits"] = "pooled"
        resample: bool = False
        seconds: PositiveFloat | None = None
        thin: PositiveInt = 1

    config: Config

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.network = _Network(config.thin)
        self.settle()

    def feature_space(self, modality: str) -> FeatureSpace:
        """Space of the features; 16 and 32 kHz are different ones."""
        self.require(modality)
        name, pooled = f"cnn14-{self.config.sample_rate // 1000}k", self.config.features == "pooled"
        if pooled:
            return FeatureSpace(name=name, dim=_WIDTHS[-1] // self.config.thin)
        return FeatureSpace(name=f"{name}-logits", dim=_CLASSES)

    def preprocess(self, media: Media) -> Tensor:
        """Return a sound as wave ``(T,)`` without its mean.

        Raises:
            anyloom.errors.MediaError: It is no sound, or of another rate.
        """
        options = self.config
        return heard(
            media, rate=options.sample_rate, resample=options.resample, seconds=options.seconds, at_least=_SHORTEST
        )

    def forward(self, inputs: Tensor, modality: str) -> Tensor:
        """Return features ``(B, 1, D)`` of waves ``(B, T)``."""
        self.require(modality)
        pooled, logits = self.network(log_mel(inputs, self.config.sample_rate)[:, None])
        features: Tensor = pooled if self.config.features == "pooled" else logits
        return features[:, None]


class _Network(nn.Module):
    def __init__(self, thin: int) -> None:
        super().__init__()
        self.bn0 = nn.BatchNorm2d(_BANDS)
        before = 1
        for number, width in enumerate((w // thin for w in _WIDTHS), 1):
            setattr(self, f"conv_block{number}", _Block(before, width))
            before = width
        self.fc1 = nn.Linear(before, before)
        self.fc_audioset = nn.Linear(before, _CLASSES)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Features ``(B, 2048)`` and logits ``(B, 527)`` of log-mel spectra ``(B, 1, frames, 64)``."""
        x = self.bn0(x.mT.transpose(1, 2)).transpose(1, 2).mT  # its channels are the mel bands
        for number in range(1, len(_WIDTHS) + 1):
            x = getattr(self, f"conv_block{number}")(x)
            if number < len(_WIDTHS):
                x = F.avg_pool2d(x, 2)
        x = x.mean(3)
        pooled = F.relu(self.fc1(x.amax(2) + x.mean(2)))
        return pooled, self.fc_audioset(pooled)


class _Block(nn.Module):
    def __init__(self, before: int, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, width, 3, padding=1, bias=False)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn1, self.bn2 = nn.BatchNorm2d(width), nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Any:
        x = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(x)))
