"""Inputs of each modality -> the first tokens of its trunk. Module names are the published checkpoint's.

Shape legend: N inputs, L tokens, W width.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn

__all__ = ["CONTEXT", "FRAMES", "IMAGE_SIZE", "IMU_STEPS", "MEL_BINS", "MEL_FRAMES", "make_stem"]

IMAGE_SIZE: Final = 224
FRAMES: Final = 2
MEL_BINS: Final = 128
MEL_FRAMES: Final = 204
IMU_STEPS: Final = 2000
CONTEXT: Final = 77
_STEM_EPS: Final = 1e-5
_VISION_PATCH: Final = 14
_PATCH: Final = 16
_MEL_STRIDE: Final = 10
_IMU_KERNEL: Final = 8


class PatchStem(nn.Module):
    """One-channel pictures ``(N, 1, H, W)`` -> normalised patches ``(N, L, W)``."""

    def __init__(self, width: int, stride: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(1, width, _PATCH, stride, bias=False)
        self.norm_layer = nn.LayerNorm(width, eps=_STEM_EPS)

    def forward(self, inputs: Tensor) -> Tensor:
        """Patches row by row."""
        patches: Tensor = self.norm_layer(self.proj(inputs).flatten(2).mT)
        return patches


class StillToFrames(nn.Module):
    """Pictures ``(N, 3, H, W)`` -> clips ``(N, 3, 2, H, W)`` that stand still; clips stay as they are."""

    def forward(self, inputs: Tensor) -> Tensor:
        """Repeat a picture in time."""
        return inputs if inputs.ndim == 5 else inputs.unsqueeze(2).expand(-1, -1, FRAMES, -1, -1)


class VisionStem(nn.Module):
    """Pictures or clips of two frames -> patches ``(N, 256, W)`` of both frames together."""

    def __init__(self, width: int) -> None:
        super().__init__()
        kernel = (FRAMES, _VISION_PATCH, _VISION_PATCH)
        self.proj = nn.Sequential(StillToFrames(), nn.Conv3d(3, width, kernel, kernel, bias=False))

    def forward(self, inputs: Tensor) -> Tensor:
        """Patches row by row."""
        patches: Tensor = self.proj(inputs).flatten(2).mT
        return patches


class MotionStem(nn.Module):
    """Readings ``(N, 6, 2000)`` -> ``(N, 250, W)``, eight steps of all channels to a token, channel by channel."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.proj = nn.Linear(6 * _IMU_KERNEL, width, bias=False)
        self.norm_layer = nn.LayerNorm(width, eps=_STEM_EPS)

    def forward(self, inputs: Tensor) -> Tensor:
        """Tokens in time order."""
        pieces = inputs.reshape(*inputs.shape[:2], -1, _IMU_KERNEL).transpose(1, 2).flatten(2)
        tokens: Tensor = self.norm_layer(self.proj(pieces))
        return tokens


class Positions(nn.Module):
    """Holder of position embeddings ``(1, L, W)`` under the published name."""

    def __init__(self, length: int, width: int) -> None:
        super().__init__()
        self.pos_embed = nn.Parameter(0.02 * torch.randn(1, length, width))


class ClassTokenStem(nn.Module):
    """A class token before a stem's tokens, positions added to all.

    Args:
        name: Attribute under which the published checkpoint has the stem.
        stem: Inputs ``(N, ...)`` -> ``(N, L - 1, W)``.
        length: L, the class token included.
        width: W.
        holder: Whether the positions sit in a module of their own.
    """

    def __init__(self, name: str, stem: nn.Module, length: int, width: int, *, holder: bool = True) -> None:
        super().__init__()
        self.cls_token = nn.Parameter(0.02 * torch.randn(1, 1, width))
        self.add_module(name, stem)
        self.length, self._stem_name = length, name
        if holder:
            self.pos_embedding_helper = Positions(length, width)
        else:
            self.pos_embed = nn.Parameter(0.02 * torch.randn(1, length, width))

    def forward(self, inputs: Tensor) -> Tensor:
        """Tokens ``(N, L, W)`` of inputs ``(N, ...)``."""
        tokens = self.get_submodule(self._stem_name)(inputs)
        holder = getattr(self, "pos_embedding_helper", self)
        together: Tensor = torch.cat([self.cls_token.expand(len(tokens), -1, -1), tokens], 1) + holder.pos_embed
        return together


class TextStem(nn.Module):
    """Ids ``(N, 77)`` -> embeddings with positions ``(N, 77, W)``; also holds the causal mask."""

    mask: Tensor

    def __init__(self, vocabulary: int, width: int) -> None:
        super().__init__()
        self.length = CONTEXT
        self.pos_embed = nn.Parameter(0.01 * torch.randn(1, CONTEXT, width))
        self.register_buffer("mask", torch.full((CONTEXT, CONTEXT), -torch.inf).triu(1))
        self.token_embedding = nn.Embedding(vocabulary, width)

    def forward(self, inputs: Tensor) -> Tensor:
        """Embeddings ``(B, S, H)`` of ids ``(B, S)``."""
        embedded: Tensor = self.token_embedding(inputs) + self.pos_embed
        return embedded


def make_stem(tower: str, width: int, vocabulary: int) -> ClassTokenStem | TextStem:
    """Return the stem of a tower."""
    squares = (IMAGE_SIZE // _PATCH) ** 2
    if tower == "text":
        return TextStem(vocabulary, width)
    if tower == "vision":
        return ClassTokenStem("rgbt_stem", VisionStem(width), 1 + (IMAGE_SIZE // _VISION_PATCH) ** 2, width)
    if tower == "audio":
        patches = ((MEL_BINS - _PATCH) // _MEL_STRIDE + 1) * ((MEL_FRAMES - _PATCH) // _MEL_STRIDE + 1)
        return ClassTokenStem("rgbt_stem", PatchStem(width, _MEL_STRIDE), 1 + patches, width)
    if tower == "imu":
        return ClassTokenStem("imu_stem", MotionStem(width), 1 + IMU_STEPS // _IMU_KERNEL, width, holder=False)
    name = "depth_stem" if tower == "depth" else "rgbt_stem"
    return ClassTokenStem(name, PatchStem(width, _PATCH), 1 + squares, width)
