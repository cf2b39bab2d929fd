"""The encoder: what a medium looks like (principal components) and what it means (a tower aligned with captions)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F

from anyloom.conversation import Media
from anyloom.errors import ConfigError
from anyloom.interfaces import Encoder, FeatureSpace
from anyloom.storage.folder import replacing_folder
from anyloom.storage.tensors import load_into, read_tensors, write_tensors
from anyloom_conv.frontends import clip_grid, picture_grid, sound_grid

__all__ = ["ConvEncoder", "ConvTower"]


class ConvTower(nn.Module):
    """Patches, then residual convolutions at falling resolution, then one vector.

    Args:
        channels: Channels of the input.
        size: Rows and columns of the input.
        widths: Width of each level; the first stands at a quarter of the resolution, each next at half of that.
        out_dim: Width of the vector.
    """

    def __init__(self, channels: int, size: int, widths: tuple[int, ...], out_dim: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(channels, widths[0], 4, 4)]
        for width, following in zip(widths, (*widths[1:], None)):
            layers.append(_Residual(width))
            if following is not None:
                layers += [nn.GroupNorm(8, width), nn.SiLU(), nn.Conv2d(width, following, 2, 2)]
        side = size // 4 // 2 ** (len(widths) - 1)
        layers += [nn.GroupNorm(8, widths[-1]), nn.SiLU(), nn.Flatten(), nn.Linear(widths[-1] * side**2, out_dim)]
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, C, size, size)`` to ``(B, out_dim)``."""
        y: Tensor = self.layers(x)
        return y


class _Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.GroupNorm(8, width),
            nn.SiLU(),
            nn.Conv2d(width, width, 3, padding=1),
            nn.SiLU(),
            nn.Conv2d(width, width, 3, padding=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = x + self.layers(x)
        return y


class ConvEncoder(Encoder):
    """One feature per medium: ``layout_dim`` principal components, then ``meaning_dim`` outputs of the tower.

    Both parts are scaled once, at the end of training, to about unit size (``scale: standard``). Of a clip it takes
    some exposures, means of the frames of a stretch of time, and gives one feature of each, as an encoder of pictures
    does: the weights are those of one.

    >>> import torch
    >>> encoder = ConvEncoder(ConvEncoder.Config(size=16, grid=8, layout_dim=24, meaning_dim=4, widths=[8, 8]))
    >>> picture = Media("image", torch.zeros(3, 20, 30))
    >>> encoder(encoder.preprocess(picture)[None], "image").shape
    torch.Size([1, 1, 28])
    """

    class Config(Encoder.Config):
        """Options.

        Args:
            modality: What it encodes.
            size: Rows and columns of the picture, or mel bands and frames of the sound.
            grid: Rows and columns that the principal components look at, after averaging.
            layout_dim: Number of principal components.
            meaning_dim: Width of the tower's output; 0 leaves the tower out.
            widths: Widths of the tower.
            seconds: Length of sound that is looked at.
            sample_rate: Of sounds, in Hz.
            space: Name of the feature space; by default ``conv-<modality>``.
            meaning_scale: Factor of the tower's output, which is of unit size before.
            exposures: Stretches of time that a clip is divided into, one feature each.
            weights: Folder that the training stage wrote; for clips, of an encoder of pictures.
        """

        modality: Literal["image", "audio", "video"] = "image"
        size: PositiveInt = 64
        grid: PositiveInt = 16
        layout_dim: PositiveInt = 128
        meaning_dim: NonNegativeInt = 32
        widths: tuple[PositiveInt, ...] = Field((48, 96, 128), min_length=1)
        seconds: PositiveFloat = 2.56
        sample_rate: PositiveInt = 16000
        space: str | None = None
        meaning_scale: float = Field(0.5, gt=0)
        exposures: PositiveInt = 4
        weights: str | None = None

    projection: Tensor
    layout_mean: Tensor
    meaning_mean: Tensor
    meaning_std: Tensor

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.channels = 1 if config.modality == "audio" else 3
        flat = self.channels * config.grid**2
        self.register_buffer("projection", torch.zeros(flat, config.layout_dim))
        self.register_buffer("layout_mean", torch.zeros(config.layout_dim))
        self.register_buffer("meaning_mean", torch.zeros(config.meaning_dim))
        self.register_buffer("meaning_std", torch.ones(config.meaning_dim))
        self.tower = (
            ConvTower(self.channels, config.size, config.widths, config.meaning_dim) if config.meaning_dim else None
        )

    def feature_space(self, modality: str) -> FeatureSpace:
        """One standardised vector, or one for each exposure of a clip."""
        if modality != self.config.modality:
            raise ConfigError(f"this encoder is for {self.config.modality}, not {modality}", fix="add another encoder")
        name = self.config.space or f"conv-{modality}"
        tokens = self.config.exposures if modality == "video" else 1
        dim = self.config.layout_dim + self.config.meaning_dim
        return FeatureSpace(name=name, dim=dim, tokens=tokens, scale="standard")

    def preprocess(self, media: Media) -> Tensor:
        """Picture-like tensor ``(C, size, size)``; of a clip, one for each exposure."""
        c = self.config
        if c.modality == "video":
            return clip_grid(media, c.size, c.exposures)
        if c.modality == "image":
            return picture_grid(media, c.size)
        return sound_grid(media, c.size, c.seconds, c.sample_rate)

    def example(self, modality: str) -> Tensor:
        """A black picture or clip, or a silence, as :meth:`preprocess` gives it, in a batch of one."""
        shapes = {"image": (3, 8, 8), "video": (1, 3, 8, 8), "audio": (1, 800)}
        blank = torch.zeros(shapes[modality])
        return self.preprocess(Media(modality, blank, meta={"sample_rate": float(self.config.sample_rate)}))[None]

    def pooled(self, inputs: Tensor) -> Tensor:
        """Averaged to the grid and flattened, ``(B, C * grid * grid)``."""
        return F.adaptive_avg_pool2d(inputs, self.config.grid).flatten(1)

    def meaning(self, inputs: Tensor) -> Tensor:
        """Raw output of the tower ``(B, meaning_dim)``."""
        assert self.tower is not None
        raw: Tensor = self.tower(inputs.to(memory_format=torch.channels_last))
        return raw

    def forward(self, inputs: Tensor, modality: str) -> Tensor:
        """Features ``(B, L, D)`` of preprocessed media ``(B, C, size, size)``, of clips ``(B, L, C, size, size)``."""
        if modality == "video":
            features: Tensor = self(inputs.flatten(0, 1), "image")
            return features.view(*inputs.shape[:2], -1)
        parts = [self.pooled(inputs) @ self.projection - self.layout_mean]
        if self.tower is not None:
            standard = (self.meaning(inputs) - self.meaning_mean) / self.meaning_std
            parts.append(self.config.meaning_scale * standard)
        return torch.cat(parts, 1)[:, None]

    def save(self, folder: Path) -> None:
        """Write weights and options for the ``weights`` option."""
        options: dict[str, Any] = json.loads(self.config.model_dump_json())
        with replacing_folder(folder) as draft:
            write_tensors(self.state_dict(), draft / "model.safetensors")
            (draft / "config.json").write_text(json.dumps({**options, "weights": None}, indent=1) + "\n")

    def load_weights(self) -> None:
        """Read what :meth:`save` wrote."""
        if self.config.weights is not None:
            path = Path(self.config.weights)
            load_into(self, read_tensors(path), where=str(path))
            self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def weight_files(self) -> list[Path]:
        """The folder of the weights."""
        return [Path(self.config.weights)] if self.config.weights is not None else []
