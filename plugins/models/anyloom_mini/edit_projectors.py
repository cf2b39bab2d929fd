"""Maps between features and hidden states that see the features of the medium before (here: the source).

Many edits (mirroring, turning, shifting hues) are linear maps of the picture, and in a basis of principal components
that respects them they are banded: each component of the result depends on a few neighbours. A small LLM then only
has to choose the map, not to carry the whole picture through its hidden states.
"""

from __future__ import annotations

import torch
from pydantic import Field, NonNegativeInt, PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F

from anyloom.interfaces import ComponentConfig
from anyloom.interfaces.chance import RowDropout

__all__ = ["ChangeProjector", "CompareProjector", "neighbours"]


def neighbours(x: Tensor, band: int) -> Tensor:
    """Each component's neighbours: ``(..., D)`` to ``(..., D, 2 * band + 1)``, zeros beyond the ends.

    >>> neighbours(torch.tensor([1.0, 2.0, 3.0]), 1)
    tensor([[0., 1., 2.],
            [1., 2., 3.],
            [2., 3., 0.]])
    """
    return F.pad(x, (band, band)).unfold(-1, 2 * band + 1, 1)


class _SkipMLP(nn.Module):
    """A linear map plus a two-layer correction that starts at zero."""

    def __init__(self, in_dim: int, out_dim: int, hidden: int) -> None:
        super().__init__()
        self.skip = nn.Linear(in_dim, out_dim)
        self.mlp = nn.Sequential(nn.Linear(in_dim, hidden), nn.GELU(), nn.Linear(hidden, out_dim))
        last = self.mlp[-1]
        assert isinstance(last, nn.Linear)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(..., in_dim)`` to ``(..., out_dim)``."""
        y: Tensor = self.skip(x) + self.mlp(x)
        return y


class _Gated(nn.Module):
    """A two-layer map of the source whose units a hidden state shifts and gates; starts at zero.

    With R units it holds all maps ``sum_r g_r(hidden) w_r act(v_r source + s_r(hidden))``: without the activation
    these are the linear maps of rank R, mixed as the hidden state says (a bilinear layer of low rank).
    """

    def __init__(self, in_dim: int, out_dim: int, units: int, dropout: float) -> None:
        super().__init__()
        self.dropout = RowDropout(dropout)
        self.read = nn.Linear(out_dim, units)
        self.control = nn.Linear(in_dim, 2 * units)
        self.write = nn.Linear(units, out_dim)
        nn.init.zeros_(self.write.weight)
        nn.init.zeros_(self.write.bias)

    def forward(self, x: Tensor, source: Tensor) -> Tensor:
        """Map hidden states ``(..., in_dim)`` and sources ``(..., out_dim)`` to ``(..., out_dim)``."""
        shift, gate = self.control(x).chunk(2, -1)
        y: Tensor = self.write(self.dropout(F.gelu(self.read(source) + shift) * gate))
        return y


class CompareProjector(nn.Module):
    """Input side: the feature itself, and products of neighbouring components with the source's.

    Products of a pair's two features are what tells one linear map from another, whatever the picture is.
    """

    class Config(ComponentConfig):
        """Options.

        Args:
            hidden_dim: Width inside the correction of the feature's own path; by default twice the output width.
            products_dim: Width of the layer that reads the products.
            band: Neighbours on each side.
            pair: Show that layer the two features too, beside their products.
            gain: Standard deviation of an embedding's component that the linear path starts with, for features of
                unit size.
        """

        hidden_dim: PositiveInt | None = None
        products_dim: PositiveInt = 256
        band: NonNegativeInt = 2
        pair: bool = False
        gain: float = 0.5

    size: Tensor
    seen: Tensor

    def __init__(self, config: Config, in_dim: int, out_dim: int) -> None:
        super().__init__()
        self.config = config
        self.own = _SkipMLP(in_dim, out_dim, config.hidden_dim or 2 * out_dim)
        nn.init.normal_(self.own.skip.weight, std=config.gain * in_dim**-0.5)
        width = in_dim * (2 * config.band + 1 + 2 * config.pair)
        self.products = nn.Sequential(
            nn.Linear(width, config.products_dim), nn.GELU(), nn.Linear(config.products_dim, out_dim)
        )
        last = self.products[-1]
        assert isinstance(last, nn.Linear)
        nn.init.normal_(last.weight, std=config.products_dim**-0.5)
        self.register_buffer("size", torch.ones(in_dim))
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, x: Tensor, source: Tensor) -> Tensor:
        """Embeddings ``(..., out_dim)`` of features ``(..., in_dim)`` that follow ``source`` ``(..., in_dim)``."""
        y: Tensor = self.own(x)
        if self.training:
            self._measure(x.detach())
        scaled, before = x / self.size, source / self.size
        pairs = torch.tanh(before[..., None] * neighbours(scaled, self.config.band)).flatten(-2)
        shown = torch.cat([pairs, scaled, before], -1) if self.config.pair else pairs
        embedded: Tensor = y + self.products(shown)
        return embedded

    @torch.no_grad()
    def _measure(self, x: Tensor) -> None:
        """Keep the root mean square of each component over what was seen, slowly forgetting."""
        self.seen += 1
        share = torch.clamp(1 / self.seen, min=0.01)
        square = x.flatten(0, -2).float().square().mean(0)
        self.size.copy_((self.size.square() * (1 - share) + square * share).sqrt().clamp_min(1e-6))


class ChangeProjector(nn.Module):
    """Output side: source + maps of the source that the hidden state chooses + free part.

    The maps are banded linear ones and, if asked for, those of a gated layer, which reaches all components.

    Starts as the identity on the source: at first the model answers with what it was given.
    """

    class Config(ComponentConfig):
        """Options.

        Args:
            hidden_dim: Width inside the free part's correction; by default twice the input width.
            band: Neighbours on each side that a component of the result may depend on.
            gated_units: Units of the gated layer; 0 leaves it out.
            dropout: Share of these units that are dropped in training.
            emphasis: Factor of the whole change outside training. A regression that is unsure predicts too small a
                change; above 1 makes up for that, as guidance does for a diffusion model.
        """

        hidden_dim: PositiveInt | None = None
        band: NonNegativeInt = 3
        gated_units: NonNegativeInt = 0
        dropout: float = Field(0.0, ge=0, lt=1)
        emphasis: float = Field(1.0, gt=0)

    def __init__(self, config: Config, in_dim: int, out_dim: int) -> None:
        super().__init__()
        self.config = config
        self.free = _SkipMLP(in_dim, out_dim, config.hidden_dim or 2 * in_dim)
        nn.init.zeros_(self.free.skip.weight)
        nn.init.zeros_(self.free.skip.bias)
        self.band = nn.Linear(in_dim, out_dim * (2 * config.band + 1))
        nn.init.zeros_(self.band.weight)
        nn.init.zeros_(self.band.bias)
        self.gated = _Gated(in_dim, out_dim, config.gated_units, config.dropout) if config.gated_units else None

    def forward(self, x: Tensor, source: Tensor) -> Tensor:
        """Features ``(..., out_dim)`` from hidden states ``(..., in_dim)`` and ``source`` ``(..., out_dim)``."""
        y: Tensor = self.free(x)
        around = neighbours(source, self.config.band)
        y = y + (self.band(x).unflatten(-1, around.shape[-2:]) * around).sum(-1)
        if self.gated is not None:
            y = y + self.gated(x, source)
        return source + (y if self.training else self.config.emphasis * y)
