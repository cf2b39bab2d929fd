"""What both encoders share: building the network, loading it, describing its features."""

from __future__ import annotations

import contextlib
from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import torch
from pydantic import ValidationError
from torch import Tensor
from torch.nn import functional as F

from anyloom.conversation import Media
from anyloom.errors import CheckpointError, ConfigError
from anyloom.interfaces import ComponentConfig, Encoder, FeatureSpace
from anyloom.storage.repositories import is_repository
from anyloom_clip.config import TowerConfig
from anyloom_clip.published import load, preparation_of, sizes_of

__all__ = ["TowerEncoder"]


class TowerEncoder(Encoder):
    """One tower of a contrastive model. A frozen one stays in evaluation mode.

    Attributes:
        modality: What it encodes.
        space: Default name of its feature space.
        section: Key of the tower in a ``config.json`` of both towers.
        sizes_class: Sizes of the tower.
    """

    config: TowerConfig
    modality: ClassVar[str]
    space: ClassVar[str]
    section: ClassVar[str]
    sizes_class: ClassVar[type[Any]]

    def __init__(self, config: TowerConfig) -> None:
        super().__init__(config)
        self.sizes: Any = config.architecture or self._published_sizes()
        self.preparation: Any = config.preparation or self._published_preparation()
        with torch.device("meta") if config.weights is not None else contextlib.nullcontext():
            self.network = self.build_network().to(getattr(torch, config.dtype))
        self._settle()

    @abstractmethod
    def build_network(self) -> Any:
        """Return the model of transformers, with random weights."""

    @abstractmethod
    def read_preparation(self, numbers: Mapping[str, Any]) -> ComponentConfig:
        """Return the preprocessing numbers of a ``preprocessor_config.json``, which may be empty.

        Raises:
            ValueError: It asks for something that is not done here.
        """

    @abstractmethod
    def encode(self, inputs: Tensor) -> Tensor:
        """Return raw features ``(B, L, D)`` of inputs ``(B, ...)`` in the network's precision."""

    def _published_sizes(self) -> Any:
        config = self.config
        assert config.weights is not None
        there = sizes_of(config.weights, self.section, download=config.download)
        try:
            return self.sizes_class(**{k: v for k, v in there.items() if k in self.sizes_class.model_fields})
        except ValidationError as error:
            raise CheckpointError(
                f"config.json describes no model of this kind ({_first(error)})", where=config.weights
            ) from error

    def _published_preparation(self) -> Any:
        config = self.config
        later, numbers = config.architecture is not None, {}
        if config.weights is not None:
            numbers = preparation_of(config.weights, download=config.download, may_be_absent=later)
        try:
            return self.read_preparation(numbers)
        except ValueError as error:
            raise CheckpointError(
                f"preprocessor_config.json asks for what is not done here ({_first(error)})",
                where=str(config.weights),
                fix="give 'preparation' with the numbers to use",
            ) from error

    def _settle(self) -> None:
        self.network.requires_grad_(not self.config.freeze)
        self.train(not self.config.freeze)

    def train(self, mode: bool = True) -> TowerEncoder:
        """Switch to training mode; a frozen encoder stays in evaluation mode."""
        super().train(mode and not self.config.freeze)
        return self

    def load_weights(self) -> None:
        """Read the tower's tensors.

        Raises:
            anyloom.errors.CheckpointError: Files are missing or broken, or are of another model.
        """
        if self.config.weights is not None:
            self._check_sizes(self.config.weights)
            self.network = load(self.network, self.config.weights, download=self.config.download)
            self._settle()

    def _check_sizes(self, source: str) -> None:
        """Refuse weights that are not what ``architecture`` says; shapes alone do not show all of it."""
        here, there = self.sizes.model_dump(), self._published_sizes().model_dump()
        wrong = [f"{k} is {there[k]!r} there, {here[k]!r} here" for k in here if here[k] != there[k]]
        if wrong:
            fix = "leave 'architecture' out, or give the sizes of the weights"
            raise CheckpointError(f"these weights have other sizes ({'; '.join(wrong)})", where=source, fix=fix)

    def weight_files(self) -> list[Path]:
        """The folder ``weights`` names, unless that is a repository."""
        source = self.config.weights
        return [] if source is None or is_repository(source) else [Path(source)]

    def portable_options(self, folder: Path, name: str) -> dict[str, Any]:
        """Write out what the published folder said."""
        del folder, name
        described = {"architecture": self.sizes, "preparation": self.preparation}
        return {"weights": None, "download": False, **{k: v.model_dump(mode="json") for k, v in described.items()}}

    def feature_space(self, modality: str) -> FeatureSpace:
        """Return the space of this encoder's features.

        Raises:
            anyloom.errors.ConfigError: The modality is not the encoder's.
        """
        if modality != self.modality:
            raise ConfigError(f"{self.space} encodes {self.modality}, not {modality}")
        config, pooled = self.config, self.config.features == "pooled"
        return FeatureSpace(
            name=config.space or self.space + ("" if pooled else "-tokens"),
            dim=self.sizes.projection_dim,
            tokens=1 if pooled else self.sizes.tokens,
            scale=config.normalise,
        )

    @abstractmethod
    def preprocess(self, media: Media) -> Tensor:
        """Return the network's input ``(...)`` for one media item, float32."""

    def forward(self, inputs: Tensor, modality: str) -> Tensor:
        """Return features ``(B, L, D)`` in float32.

        Args:
            inputs: Stack ``(B, ...)`` of what :meth:`preprocess` returns.
            modality: The encoder's.
        """
        self.feature_space(modality)
        features = self.encode(inputs.to(self.network.dtype)).float()
        return F.normalize(features, dim=-1) if self.config.normalise == "unit" else features


def _first(error: ValueError) -> str:
    """What is wrong, in one line."""
    if not isinstance(error, ValidationError):
        return str(error)
    problem = error.errors(include_url=False)[0]
    return f"{'.'.join(str(part) for part in problem['loc'])}: {problem['msg']}"
