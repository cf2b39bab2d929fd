"""ImageBind as one encoder of seven modalities: the paper's C_x.

Shape legend: B media, C clips of each, N = B * C, L tokens, D width of the common space.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any, Final, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from anyloom.conversation import Media
from anyloom.errors import ConfigError
from anyloom.interfaces import Encoder, FeatureSpace
from anyloom_imagebind.checkpoint import fill, source_path
from anyloom_imagebind.config import TOWERS, ImageBindConfig
from anyloom_imagebind.network import ImageBindNetwork
from anyloom_imagebind.preparation import Preparation, blank
from anyloom_imagebind.text import copy_vocabulary

__all__ = ["ImageBindEncoder"]

_RAW_VISION_SPACE: Final = "openclip-vit-h"
_CLIP_NDIM: Final = 5


class ImageBindEncoder(Encoder):
    """Frozen ImageBind.

    Feature spaces are called ``imagebind-huge`` (``imagebind-own`` for other sizes), ``-tokens`` and ``-upstream``
    added where the options say so. The raw pooled feature of a picture at published size is called ``openclip-vit-h``,
    because it is that: ImageBind kept that encoder frozen, and Stable Diffusion unCLIP was trained on its output.
    Raw and unit features fit decoders of those scales; ``upstream`` ones are as long as ImageBind's last layer makes
    them, which the scale ``raw`` stands for.

    >>> ImageBindEncoder.Config(size="huge").normalise
    'raw'
    """

    Config = ImageBindConfig

    def __init__(self, config: ImageBindConfig) -> None:
        super().__init__(config)
        self.preparation = Preparation(config)
        with torch.device("meta") if config.weights is not None else contextlib.nullcontext():
            self.network = ImageBindNetwork(config.sizes, config.towers)
        self._set_precision()

    def _set_precision(self) -> None:
        self.network.to(getattr(torch, self.config.dtype))
        self.network.modality_postprocessors.float()

    def load_weights(self) -> None:
        """Read the tensors of the towers that are built, and the vocabulary.

        Raises:
            anyloom.errors.CheckpointError: A file is missing, truncated, a pickle, or of another model.
        """
        if self.config.vocabulary is not None:
            self.preparation.tokenizer.ids("")
        if self.config.weights is not None:
            fill(self.network, source_path(self.config.weights, download=self.config.download), self.config.sizes)

    def weight_files(self) -> list[Path]:
        """The file or folder that ``weights`` names, unless a download may stand in for it."""
        source = self.config.weights
        if source is None or (self.config.download and not Path(source).exists()):
            return []
        return [Path(source)]

    def portable_options(self, folder: Path, name: str) -> dict[str, Any]:
        """Keep the vocabulary with the saved model."""
        options: dict[str, Any] = {"weights": None, "download": False}
        if self.config.vocabulary is not None:
            file = copy_vocabulary(self.config.vocabulary, folder / name)
            options["vocabulary"] = f"@/{name}/{file}" if file else f"@/{name}"
        return options

    def feature_space(self, modality: str) -> FeatureSpace:
        """Return the space of a modality under the options given.

        Raises:
            anyloom.errors.ConfigError: The modality is not one of the encoder's.
        """
        self._require(modality)
        scale: Literal["unit", "raw"] = "unit" if self.config.normalise == "unit" else "raw"
        tokens = self._clips(modality) * self.network.length(TOWERS[modality])
        return FeatureSpace(
            name=self._space_name(modality),
            dim=self.config.sizes.dim,
            tokens=1 if self.config.features == "pooled" else tokens,
            scale=scale,
        )

    def _space_name(self, modality: str) -> str:
        config = self.config
        if modality in config.spaces:
            return str(config.spaces[modality])
        published, raw = config.size == "huge", config.normalise == "raw"
        if modality == "image" and published and raw and config.features == "pooled":
            return _RAW_VISION_SPACE
        name = "imagebind-huge" if published else "imagebind-own"
        tokens = "-tokens" if config.features == "tokens" else ""
        return name + tokens + ("-upstream" if config.normalise == "upstream" else "")

    def _clips(self, modality: str) -> int:
        if modality == "video":
            return int(self.config.video_clips * self.config.video_crops)
        return int(self.config.audio_clips) if modality == "audio" else 1

    def _require(self, modality: str) -> None:
        if modality in self.config.modalities:
            return
        known = ", ".join(self.config.modalities)
        fix = f"add it to 'modalities' (now {known})" if modality in TOWERS else f"it encodes {known}"
        raise ConfigError(f"this ImageBind encoder has no {modality!r}", where="modalities", fix=fix)

    def preprocess(self, media: Media) -> Tensor:
        """Return the input of one media item, see :class:`anyloom_imagebind.preparation.Preparation`.

        Returns:
            image ``(3, 224, 224)``, video ``(clips * crops, 3, 2, 224, 224)``, audio ``(clips, 1, 128, 204)``,
            depth and thermal ``(1, 224, 224)``, imu ``(6, 2000)``, text ids ``(77,)``.
        """
        self._require(media.modality)
        return self.preparation(media)

    def example(self, modality: str) -> Tensor:
        """A blank medium ``(1, ...)`` as :meth:`preprocess` gives it."""
        return self.preparation(blank(modality))[None]

    def tokenize(self, texts: str | list[str]) -> Tensor:
        """Return ids ``(N, 77)`` of texts, which :meth:`forward` takes as modality ``text``."""
        return self.preparation.tokenizer(texts)

    def forward(self, inputs: Tensor, modality: str) -> Tensor:
        """Return features ``(B, 1, D)``, or ``(B, C * L, D)`` of all tokens, in float32.

        Args:
            inputs: Stack of what :meth:`preprocess` returns, or without its clips; five dimensions or more are read
                as ``(B, C, ...)``, so a single clip of a video is ``(B, 1, 3, 2, 224, 224)``.
            modality: Any of the encoder's.
        """
        self._require(modality)
        tower, pooled = TOWERS[modality], self.config.features == "pooled"
        clips = inputs.shape[1] if inputs.ndim >= _CLIP_NDIM else 1
        flat = inputs.flatten(0, 1) if inputs.ndim >= _CLIP_NDIM else inputs
        x = flat if tower == "text" else flat.to(getattr(torch, self.config.dtype))
        features: Tensor = self.network(x, tower, pooled=pooled).float()
        features = self._scaled(features, tower)
        features = features.reshape(-1, clips, *features.shape[1:])
        if not pooled:
            return features.flatten(1, 2)
        mean = features.mean(1, keepdim=True)
        return F.normalize(mean, dim=-1) if self.config.normalise == "unit" else mean

    def _scaled(self, features: Tensor, tower: str) -> Tensor:
        """Apply ``normalise`` to raw features of single clips ``(N, ..., D)``."""
        if self.config.normalise == "raw":
            return features
        unit = F.normalize(features, dim=-1)
        return self.network.scale(unit, tower) if self.config.normalise == "upstream" else unit
