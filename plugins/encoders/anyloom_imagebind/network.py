"""The network, with the published checkpoint's keys: stems, trunks, heads and scales of the towers asked for.

Written from the paper (arXiv 2305.05665), the checkpoint's key layout and reference numbers.
Shape legend: N inputs, L tokens, W width of a trunk, D width of the common space.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor, nn

from anyloom_imagebind.config import HUGE, TOWERS, ImageBindSizes
from anyloom_imagebind.stems import make_stem
from anyloom_imagebind.transformer import NORM_EPS, Trunk

__all__ = ["ImageBindNetwork", "published_layout"]

_SCALES: Final = {"text": 1 / 0.07, "audio": 20.0, "depth": 5.0, "thermal": 10.0, "imu": 5.0}
"""Length of a feature as ImageBind returns it; pictures have length 1."""
_GREATEST_SCALE: Final = 100.0


class Head(nn.ModuleDict):
    """Norm and linear map into the common space.

    Args:
        width: W.
        dim: D.
        last: Key of the linear map in the published checkpoint.
    """

    def __init__(self, width: int, dim: int, last: str) -> None:
        super().__init__({"0": nn.LayerNorm(width, eps=NORM_EPS), last: nn.Linear(width, dim, bias=False)})

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(..., W)`` to ``(..., D)``."""
        for layer in self.values():
            x = layer(x)
        return x


class TextHead(nn.Module):
    """The same under the name that the text tower has."""

    def __init__(self, width: int, dim: int) -> None:
        super().__init__()
        self.proj = Head(width, dim, "1")

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(..., W)`` to ``(..., D)``."""
        mapped: Tensor = self.proj(x)
        return mapped


class LogitScale(nn.Module):
    """The length of a modality's features, as a logarithm: learnt for text, fixed for the others."""

    log_logit_scale: Tensor

    def __init__(self, scale: float, *, learnt: bool) -> None:
        super().__init__()
        value = torch.tensor(math.log(scale))
        if learnt:
            self.log_logit_scale = nn.Parameter(value)
        else:
            self.register_buffer("log_logit_scale", value)

    def forward(self, x: Tensor) -> Tensor:
        """Scale unit vectors ``(..., D)``."""
        return x * self.log_logit_scale.exp().clamp(max=_GREATEST_SCALE)


class ImageBindNetwork(nn.Module):
    """Some or all towers of ImageBind.

    Dropout and stochastic depth, which the published training used in the newer towers, are left out: the encoder
    is meant to stay frozen.

    Args:
        sizes: Sizes of all towers.
        towers: Those to build, in order.
    """

    def __init__(self, sizes: ImageBindSizes = HUGE, towers: Sequence[str] = tuple(dict.fromkeys(TOWERS.values()))):
        super().__init__()
        self.modality_preprocessors = nn.ModuleDict()
        self.modality_trunks = nn.ModuleDict()
        self.modality_heads = nn.ModuleDict()
        self.modality_postprocessors = nn.ModuleDict()
        for name in towers:
            self._add_tower(name, sizes)

    def _add_tower(self, name: str, sizes: ImageBindSizes) -> None:
        size = sizes.tower(name)
        self.modality_preprocessors[name] = make_stem(name, size.width, sizes.vocabulary)
        extra_key = name not in ("vision", "text")
        self.modality_trunks[name] = Trunk(
            size.width, size.blocks, size.heads, extra_key=extra_key, norm_first=name == "vision"
        )
        text = name == "text"
        head = TextHead(size.width, sizes.dim) if text else Head(size.width, sizes.dim, "3" if name == "imu" else "2")
        self.modality_heads[name] = head
        if name in _SCALES:
            self.modality_postprocessors[name] = nn.ModuleDict({"1": LogitScale(_SCALES[name], learnt=text)})

    def length(self, tower: str) -> int:
        """L, the tokens of one input."""
        return int(getattr(self.modality_preprocessors[tower], "length"))  # noqa: B009

    def forward(self, inputs: Tensor, tower: str, *, pooled: bool) -> Tensor:
        """Raw features of single clips.

        Args:
            inputs: ``(N, ...)``: vision ``(N, 3, 224, 224)`` or ``(N, 3, 2, 224, 224)``, text ids ``(N, 77)``, audio
                ``(N, 1, 128, 204)``, depth and thermal ``(N, 1, 224, 224)``, imu ``(N, 6, 2000)``.
            tower: Which tower.
            pooled: Return the feature of the class token (text: of the end-of-text token, the highest id).

        Returns:
            ``(N, D)``, or ``(N, L, D)`` of all tokens, before any normalisation.
        """
        stem = self.modality_preprocessors[tower]
        x = self.modality_trunks[tower](stem(inputs), getattr(stem, "mask", None))
        if pooled:
            at = inputs.argmax(-1) if tower == "text" else inputs.new_zeros(len(inputs), dtype=torch.long)
            x = x[torch.arange(len(x), device=x.device), at]
        features: Tensor = self.modality_heads[tower](x)
        return features

    def scale(self, unit: Tensor, tower: str) -> Tensor:
        """Give unit vectors ``(..., D)`` the length that ImageBind gives a modality."""
        if tower not in self.modality_postprocessors:
            return unit
        scaled: Tensor = self.modality_postprocessors[tower].get_submodule("1")(unit)
        return scaled


def published_layout(sizes: ImageBindSizes = HUGE) -> dict[str, torch.Size]:
    """Keys and shapes of a whole checkpoint, worked out without memory for its tensors."""
    with torch.device("meta"):
        return {key: tensor.shape for key, tensor in ImageBindNetwork(sizes).state_dict().items()}
