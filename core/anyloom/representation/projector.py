"""The paper's projector: Linear, activation, norm, Linear."""

from __future__ import annotations

from typing import Literal

from pydantic import PositiveInt
from torch import Tensor, nn

from anyloom.interfaces.component import ComponentConfig
from anyloom.interfaces.projector import Projector

__all__ = ["MLPProjector"]


class MLPProjector(Projector):
    """Two linear layers with activation and LayerNorm between them (CoDi-2, section 3.1).

    >>> import torch
    >>> config = MLPProjector.Config(hidden_dim=8)
    >>> MLPProjector(config, in_dim=4, out_dim=6)(torch.zeros(2, 3, 4)).shape
    torch.Size([2, 3, 6])
    """

    class Config(ComponentConfig):
        """Options.

        Args:
            hidden_dim: Width between the linear layers; by default the output width.
            activation: Nonlinearity.
            skip: Add a linear path from input to output, which learns identity-like maps faster.
        """

        hidden_dim: PositiveInt | None = None
        activation: Literal["gelu", "silu", "relu"] = "gelu"
        skip: bool = False

    def __init__(self, config: Config, in_dim: int, out_dim: int) -> None:
        super().__init__(config, in_dim, out_dim)
        hidden = config.hidden_dim or out_dim
        activation = {"gelu": nn.GELU, "silu": nn.SiLU, "relu": nn.ReLU}[config.activation]()
        self.layers = nn.Sequential(
            nn.Linear(in_dim, hidden), activation, nn.LayerNorm(hidden), nn.Linear(hidden, out_dim)
        )
        self.skip = nn.Linear(in_dim, out_dim, bias=False) if config.skip else None

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(..., in_dim)`` to ``(..., out_dim)``."""
        y: Tensor = self.layers(x)
        return y if self.skip is None else y + self.skip(x)
