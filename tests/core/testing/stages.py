"""One training module that does all it must, and others that each get one thing wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from anyloom.interfaces import ComponentConfig, Sample, TrainingModule
from anyloom.storage.tensors import write_tensors

__all__ = ["BROKEN", "Whole"]


class Whole(TrainingModule):
    """Learns how long texts are."""

    rate = 0.1

    class Config(ComponentConfig):
        """No options."""

    def __init__(self, config: Any, model: dict[str, Any]) -> None:
        super().__init__(config, model)
        self.guess = nn.Parameter(torch.zeros(()))

    def collator(self) -> Callable[[list[Sample]], Any]:
        """Lengths ``(B,)``."""
        return lambda samples: torch.tensor([float(len(s.conversation.messages[-1].text)) for s in samples])

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        """Squared error."""
        return (batch - self.guess).square().mean()

    def configure_optimizers(self) -> Any:
        """Gradient descent."""
        return torch.optim.SGD(self.parameters(), lr=self.rate)

    def save_result(self, folder: Path) -> None:
        """Write the guess."""
        write_tensors({"guess": self.guess}, folder / "guess.safetensors")


class StandsStill(Whole):
    """Has a learning rate of zero."""

    rate = 0.0


class Explodes(Whole):
    """Has a learning rate without bounds."""

    rate = 1e38


class WritesPickle(Whole):
    """Saves in a format that may hold code."""

    def save_result(self, folder: Path) -> None:
        """Write the guess."""
        folder.mkdir()
        torch.save(self.state_dict(), folder / "guess.pt")


class WritesNothing(Whole):
    """Saves nothing."""

    def save_result(self, folder: Path) -> None:
        """Write nothing."""


BROKEN: dict[type[Whole], str | set[str]] = {
    StandsStill: "trains_two_steps",
    Explodes: {"trains_two_steps", "result_is_written"},  # tensors with NaN are not written either
    WritesPickle: "result_is_written",
    WritesNothing: "result_is_written",
}
