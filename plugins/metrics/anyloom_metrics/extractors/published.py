"""What extractors with weights in one published file have in common."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor

from anyloom.errors import CheckpointError, ConfigError
from anyloom.interfaces import Encoder
from anyloom.storage.tensors import load_into, read_tensors

__all__ = ["PublishedNetwork"]

_COUNTER = "num_batches_tracked"


class PublishedNetwork(Encoder):
    """A network whose keys are those of a published checkpoint. A frozen one stays in evaluation mode.

    Attributes:
        network: The module.
        modality: What it looks at.
        unused: Prefixes of keys that a checkpoint may hold and the network does not need.
    """

    class Config(Encoder.Config):
        """Options.

        Args:
            weights: Safetensors file with the tensors of the published checkpoint, under their own names. Without it
                the network is random.
        """

        weights: Path | None = None

    config: Config
    network: Any
    modality: ClassVar[str]
    unused: ClassVar[tuple[str, ...]] = ()

    def settle(self) -> None:
        """Apply ``freeze``; called once the network is built."""
        self.network.requires_grad_(not self.config.freeze)
        self.train(not self.config.freeze)

    def train(self, mode: bool = True) -> PublishedNetwork:
        """Switch to training mode; a frozen network stays in evaluation mode."""
        super().train(mode and not self.config.freeze)
        return self

    def weight_files(self) -> list[Path]:
        """The file ``weights`` names."""
        return [] if self.config.weights is None else [self.config.weights]

    def load_weights(self) -> None:
        """Read the tensors.

        Raises:
            anyloom.errors.CheckpointError: The file is missing, broken or of another network.
        """
        if self.config.weights is not None:
            self.load_tensors(read_tensors(self.config.weights), where=str(self.config.weights))

    def load_tensors(self, tensors: Mapping[str, Tensor], *, where: str) -> None:
        """Take over the tensors of a published checkpoint.

        Counters of batches, which only training needs, may be missing.

        Raises:
            anyloom.errors.CheckpointError: Tensors are missing, unknown or of other shapes.
        """
        kept = {k: v for k, v in tensors.items() if not k.startswith(self.unused or ("\0",))}
        own = self.network.state_dict()
        if any(t.is_meta for t in own.values()):
            raise CheckpointError("the network is on the meta device", where=where, fix="build it on a real one")
        counters = {k: v for k, v in own.items() if k.endswith(_COUNTER) and k not in kept}
        load_into(self.network, {**counters, **kept}, where=where)

    def require(self, modality: str) -> None:
        """Refuse any modality but the network's own.

        Raises:
            anyloom.errors.ConfigError: It is another.
        """
        if modality != self.modality:
            raise ConfigError(f"{type(self).__name__} looks at {self.modality}, not {modality}")
