"""VGGish (arXiv 1609.09430), through which FAD is measured: one feature per 0.96 s of sound."""

from __future__ import annotations

import torch
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor, nn

from anyloom.conversation import Media
from anyloom.interfaces import FeatureSpace
from anyloom_metrics.extractors.published import PublishedNetwork
from anyloom_metrics.extractors.sounds import heard

__all__ = ["VGGish", "examples"]

_RATE, _WINDOW, _HOP, _FFT, _BANDS, _FRAMES = 16000, 400, 160, 512, 64, 96
_LOW, _HIGH, _OFFSET = 125.0, 7500.0, 0.01
_SHORTEST = _WINDOW + (_FRAMES - 1) * _HOP
_LAYERS = (64, 0, 128, 0, 256, 256, 0, 512, 512, 0)  # 0 halves both sides
_HIDDEN, _DIM = 4096, 128


def examples(wave: Tensor) -> Tensor:
    """Log-mel pictures ``(N, 1, 96, 64)`` of a wave ``(T,)`` at 16 kHz, one per whole 0.96 s.

    Frames are not centred; triangles have straight sides over mel, not over Hz, unlike those of librosa.

    >>> examples(torch.zeros(16_000 * 2)).shape  # two whole pieces of 0.96 s
    torch.Size([2, 1, 96, 64])
    """
    frames = wave.double().unfold(0, _WINDOW, _HOP) * torch.hann_window(_WINDOW, dtype=torch.float64)
    magnitude = torch.fft.rfft(frames, _FFT).abs()
    logs = (magnitude @ _filters() + _OFFSET).log()
    count = len(logs) // _FRAMES
    pictures: Tensor = logs[: count * _FRAMES].reshape(count, 1, _FRAMES, _BANDS).float()
    return pictures


def _filters() -> Tensor:
    """Weights ``(257, 64)`` of frequencies in mel bands; the constant part belongs to none."""
    hz = torch.linspace(0, _RATE / 2, _FFT // 2 + 1, dtype=torch.float64)
    mel = 1127 * (1 + hz / 700).log()
    low, high = (1127 * (1 + torch.tensor(f, dtype=torch.float64) / 700).log() for f in (_LOW, _HIGH))
    edges = torch.linspace(float(low), float(high), _BANDS + 2, dtype=torch.float64)
    rising = (mel[:, None] - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - mel[:, None]) / (edges[2:] - edges[1:-1])
    weights = torch.minimum(rising, falling).clamp(min=0)
    weights[0] = 0
    return weights


class VGGish(PublishedNetwork):
    """VGGish in the layout of torchvggish, without PCA and without the last ReLU, as FAD tools take it.

    A sound has one feature per whole 0.96 s.

    >>> print(VGGish(VGGish.Config(thin=32)).feature_space("audio"))
    vggish (1 x 4, raw)
    """

    modality = "audio"

    class Config(PublishedNetwork.Config):
        """Options.

        Args:
            resample: Bring sounds of other rates to 16 kHz instead of refusing them.
            seconds: Cut or fill up every sound to this length; by default each keeps its own, and has as many
                features as it holds.
            thin: Divide every number of channels; 1 is the published network.
        """

        resample: bool = False
        seconds: PositiveFloat | None = None
        thin: PositiveInt = 1

    config: Config

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.network = _Network(config.thin)
        self.settle()

    def feature_space(self, modality: str) -> FeatureSpace:
        """Space of the features; where sounds keep their own length, their number is that of the shortest sound."""
        self.require(modality)
        seconds, hops = self.config.seconds, 1
        if seconds is not None:
            hops = max(1, (max(_SHORTEST, round(seconds * _RATE)) - _WINDOW + _HOP) // (_HOP * _FRAMES))
        return FeatureSpace(name="vggish", dim=_DIM // self.config.thin, tokens=hops)

    def preprocess(self, media: Media) -> Tensor:
        """Return a sound as log-mel pictures ``(N, 1, 96, 64)``.

        Raises:
            anyloom.errors.MediaError: It is no sound, or of another rate.
        """
        wave = heard(media, rate=_RATE, resample=self.config.resample, seconds=self.config.seconds, centre=False)
        return examples(torch.nn.functional.pad(wave, (0, max(0, _SHORTEST - len(wave)))))

    def forward(self, inputs: Tensor, modality: str) -> Tensor:
        """Return features ``(B, N, 128)`` of pictures ``(B, N, 1, 96, 64)``."""
        self.require(modality)
        features: Tensor = self.network(inputs.flatten(0, 1)).unflatten(0, inputs.shape[:2])
        return features


class _Network(nn.Module):
    def __init__(self, thin: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = 1
        for width in (w // thin for w in _LAYERS):
            layers += [nn.Conv2d(before, width, 3, padding=1), nn.ReLU()] if width else [nn.MaxPool2d(2)]
            before = width or before
        self.features = nn.Sequential(*layers)
        hidden = _HIDDEN // thin
        # the published order of keys: linear layers at 0, 2 and 4
        self.embeddings = nn.Sequential(
            nn.Linear(before * 6 * 4, hidden),
            nn.ReLU(),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
            nn.Linear(hidden, _DIM // thin),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Features ``(B, 128)`` of pictures ``(B, 1, 96, 64)``."""
        x = self.features(x)
        embedded: Tensor = self.embeddings(x.permute(0, 2, 3, 1).flatten(1))  # channels last, as TensorFlow had them
        return embedded
