"""Networks that put media and texts into one space: CLIP and CLAP, both through transformers."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from anyloom.errors import CheckpointError, ConfigError
from anyloom.interfaces import Encoder, FeatureSpace
from anyloom.storage.repositories import fetch, is_repository
from anyloom_metrics.extractors.folders import load_published, read_json

__all__ = ["JointEncoder", "projected"]

_FILES = ("*.json", "*.txt", "model*.safetensors")


class JointEncoder(Encoder):
    """An encoder of media that also encodes texts, into the same space. A frozen one stays in evaluation mode.

    Attributes:
        modality: What it encodes beside text.
        space: Name of the space.
        network: The model of transformers.
        preparation: What the folder's ``preprocessor_config.json`` says, may be empty.
    """

    class Config(Encoder.Config):
        """Options.

        Args:
            weights: Folder that transformers saved, with both towers and the tokenizer, or a hub repository of that
                kind.
            download: Allow ``weights`` to be fetched from the hub.
        """

        weights: str
        download: bool = False

    config: Config
    modality: ClassVar[str]
    space: ClassVar[str]

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.folder = fetch(config.weights, _FILES, download=config.download)
        self.sizes = self.read_sizes(read_json(self.folder, "config.json", needed=True))
        self.preparation = self.read_preparation(read_json(self.folder, "preprocessor_config.json", needed=False))
        self.network: Any = self.network_class()(self.sizes)
        self._tokenizer: Any = None
        self._settle()

    @classmethod
    @abstractmethod
    def network_class(cls) -> Any:
        """Return the class of the model of transformers."""

    @abstractmethod
    def read_sizes(self, numbers: dict[str, Any]) -> Any:
        """Return the model's configuration from ``config.json``."""

    def read_preparation(self, numbers: dict[str, Any]) -> dict[str, Any]:
        """Return what is used of ``preprocessor_config.json``, by default all of it."""
        return numbers

    @abstractmethod
    def embed_media(self, inputs: Tensor) -> Tensor:
        """Return embeddings ``(B, D)`` of preprocessed media ``(B, ...)``, as the projection gives them."""

    def _settle(self) -> None:
        self.network.requires_grad_(not self.config.freeze)
        self.train(not self.config.freeze)

    def train(self, mode: bool = True) -> JointEncoder:
        """Switch to training mode; a frozen encoder stays in evaluation mode."""
        super().train(mode and not self.config.freeze)
        return self

    def weight_files(self) -> list[Path]:
        """The folder ``weights`` names, unless that is a repository."""
        return [] if is_repository(self.config.weights) else [Path(self.config.weights)]

    def load_weights(self) -> None:
        """Read the tensors.

        Raises:
            anyloom.errors.CheckpointError: Files are missing or broken, or are of another model.
        """
        self.network = load_published(self.network_class(), self.folder, self.sizes)
        self._settle()

    def feature_space(self, modality: str) -> FeatureSpace:
        """Space of the embeddings, the same for the media and for text.

        Raises:
            anyloom.errors.ConfigError: The modality is another.
        """
        if modality not in (self.modality, "text"):
            raise ConfigError(f"{type(self).__name__} looks at {self.modality} and text, not {modality}")
        return FeatureSpace(name=self.space, dim=self.sizes.projection_dim)

    def forward(self, inputs: Tensor, modality: str) -> Tensor:
        """Return embeddings ``(B, 1, D)`` of preprocessed media ``(B, ...)``."""
        if modality != self.modality:
            raise ConfigError(f"{type(self).__name__} looks at {self.modality}, not {modality}", fix="see embed_texts")
        return self.embed_media(inputs).float()[:, None]

    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        """Return embeddings ``(B, D)`` of texts; too long ones are cut to what the network takes.

        Raises:
            anyloom.errors.CheckpointError: The folder holds no tokenizer.
        """
        device = next(self.network.parameters()).device
        most = min(int(self.sizes.text_config.max_position_embeddings), 512)
        tokens = self.tokenizer()(list(texts), padding=True, truncation=True, max_length=most, return_tensors="pt")
        with torch.no_grad():
            output = self.network.get_text_features(**{k: v.to(device) for k, v in tokens.items()})
        return projected(output).float()

    def tokenizer(self) -> Any:
        """The folder's tokenizer, read at the first text.

        Raises:
            anyloom.errors.CheckpointError: There is none.
        """
        if self._tokenizer is None:
            from transformers import AutoTokenizer

            try:
                self._tokenizer = AutoTokenizer.from_pretrained(self.folder, local_files_only=True)
            except (OSError, ValueError) as error:
                raise CheckpointError("there is no tokenizer here", where=str(self.folder)) from error
        return self._tokenizer


def projected(output: Any) -> Tensor:
    """The projected embedding ``(B, D)``, which transformers 5 wraps and earlier versions return bare.

    >>> projected(torch.ones(1, 2))
    tensor([[1., 1.]])
    """
    embedding: Tensor = output if isinstance(output, Tensor) else output.pooler_output
    return embedding
