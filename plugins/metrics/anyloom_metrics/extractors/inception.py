"""The Inception network of FID (arXiv 1512.00567, weights of 2015-12-05), in the layout of torch-fidelity."""

from __future__ import annotations

from typing import Any, Literal

import torch
from pydantic import PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F

from anyloom.conversation import Media
from anyloom.interfaces import FeatureSpace
from anyloom_metrics.extractors.published import PublishedNetwork
from anyloom_metrics.preparation.pictures import clean_299, picture_bytes, tensorflow_299

__all__ = ["Inception"]

_CLASSES = 1008
_Pool = Literal["mean", "max"]


class Inception(PublishedNetwork):
    """Inception v3 as TensorFlow's graph of 2015 has it: average pools that leave out the padding, 1008 classes.

    ``pooled`` are the 2048 numbers of FID and KID; ``logits`` have no bias, as the inception score takes them.

    >>> encoder = Inception(Inception.Config(thin=16))  # fewer channels, random; `weights` names the published file
    >>> print(encoder.feature_space("image"))
    inception-tensorflow (1 x 128, raw)
    """

    modality = "image"

    class Config(PublishedNetwork.Config):
        """Options.

        Args:
            features: ``pooled`` or ``logits``.
            resize: ``tensorflow`` is the bilinear filter of the original (torch-fidelity, torchmetrics), ``clean``
                Pillow's bicubic filter (clean-fid). Numbers of the two do not compare.
            thin: Divide every number of channels; 1 is the published network.
        """

        features: Literal["pooled", "logits"] = "pooled"
        resize: Literal["tensorflow", "clean"] = "tensorflow"
        thin: PositiveInt = 1

    config: Config

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.network = _Network(config.thin)
        self.settle()

    def feature_space(self, modality: str) -> FeatureSpace:
        """Space of the features; the two ways to resize give different ones."""
        self.require(modality)
        name = f"inception-{self.config.resize}"
        if self.config.features == "logits":
            return FeatureSpace(name=f"{name}-logits", dim=_CLASSES)
        return FeatureSpace(name=name, dim=2048 // self.config.thin)

    def preprocess(self, media: Media) -> Tensor:
        """Return a picture as float32 ``(3, 299, 299)`` in 0..255.

        Raises:
            anyloom.errors.MediaError: It is no picture, or its range is unknown.
        """
        picture = picture_bytes(media.tensor().detach().cpu(), media.path or media.key)
        return tensorflow_299(picture) if self.config.resize == "tensorflow" else clean_299(picture)

    def forward(self, inputs: Tensor, modality: str) -> Tensor:
        """Return features ``(B, 1, D)`` of pictures ``(B, 3, 299, 299)`` in 0..255."""
        self.require(modality)
        pooled: Tensor = self.network((inputs - 128) / 128)
        if self.config.features == "pooled":
            return pooled[:, None]
        return F.linear(pooled, self.network.fc.weight)[:, None]


class _Conv(nn.Module):
    def __init__(self, before: int, width: int, size: int | tuple[int, int] = 1, stride: int = 1, pad: Any = 0) -> None:
        super().__init__()
        self.conv = nn.Conv2d(before, width, size, stride, pad, bias=False)
        self.bn = nn.BatchNorm2d(width, eps=0.001)
        nn.init.kaiming_normal_(self.conv.weight, nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)))


def _mean(x: Tensor) -> Tensor:
    """Mean of 3 x 3 without the padding."""
    return F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)


class _Mixed(nn.Module):
    """Branches side by side. A branch is a list of names of its convolutions; a tuple of names forks and joins.

    Attributes:
        branches: In the order of the output channels.
        pool: What stands before the branch ``branch_pool``: ``mean`` or ``max``, of 3 x 3 with stride 1.
        shrinks: Whether a maximum of 3 x 3 with stride 2 is one more branch.
    """

    def __init__(self, parts: dict[str, _Conv], *, pool: _Pool = "mean", shrinks: bool = False) -> None:
        super().__init__()
        for name, part in parts.items():
            self.add_module(name, part)
        self.branches = _branches(list(parts))
        self.pool, self.shrinks = pool, shrinks

    def forward(self, x: Tensor) -> Tensor:
        found = [self._branch(names, x) for names in self.branches]
        if self.shrinks:
            found.append(F.max_pool2d(x, 3, 2))
        return torch.cat(found, 1)

    def _branch(self, names: list[str], x: Tensor) -> Tensor:
        if names == ["branch_pool"]:
            x = _mean(x) if self.pool == "mean" else F.max_pool2d(x, 3, 1, 1)
        forks = [n for n in names if n.endswith(("a", "b"))]
        for name in names[: len(names) - len(forks)]:
            x = self.get_submodule(name)(x)
        return torch.cat([self.get_submodule(n)(x) for n in forks], 1) if forks else x


def _branches(names: list[str]) -> list[list[str]]:
    """Names of convolutions by branch: ``branch3x3dbl_2`` follows ``branch3x3dbl_1``."""
    found: dict[str, list[str]] = {}
    for name in names:
        found.setdefault(name if name == "branch_pool" else name.partition("_")[0], []).append(name)
    return list(found.values())


class _Network(nn.Module):
    def __init__(self, thin: int) -> None:
        super().__init__()
        t = thin
        self.Conv2d_1a_3x3 = _Conv(3, 32 // t, 3, 2)
        self.Conv2d_2a_3x3 = _Conv(32 // t, 32 // t, 3)
        self.Conv2d_2b_3x3 = _Conv(32 // t, 64 // t, 3, pad=1)
        self.Conv2d_3b_1x1 = _Conv(64 // t, 80 // t)
        self.Conv2d_4a_3x3 = _Conv(80 // t, 192 // t, 3)
        self.Mixed_5b = _first(192, 32, t)
        self.Mixed_5c = _first(256, 64, t)
        self.Mixed_5d = _first(288, 64, t)
        self.Mixed_6a = _first_shrinking(288, t)
        for letter, width in zip("bcde", (128, 160, 160, 192)):
            self.add_module(f"Mixed_6{letter}", _second(768, width, t))
        self.Mixed_7a = _second_shrinking(768, t)
        self.Mixed_7b = _third(1280, "mean", t)
        self.Mixed_7c = _third(2048, "max", t)
        self.fc = nn.Linear(2048 // t, _CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """Features ``(B, 2048)`` of pictures ``(B, 3, 299, 299)`` in -1..1."""
        for name, part in self.named_children():
            if name == "Conv2d_3b_1x1" or name == "Mixed_5b":
                x = F.max_pool2d(x, 3, 2)
            if name != "fc":
                x = part(x)
        return x.mean((2, 3))


def _first(before: int, pooled: int, t: int) -> _Mixed:
    i = before // t
    return _Mixed(
        {
            "branch1x1": _Conv(i, 64 // t),
            "branch5x5_1": _Conv(i, 48 // t),
            "branch5x5_2": _Conv(48 // t, 64 // t, 5, pad=2),
            "branch3x3dbl_1": _Conv(i, 64 // t),
            "branch3x3dbl_2": _Conv(64 // t, 96 // t, 3, pad=1),
            "branch3x3dbl_3": _Conv(96 // t, 96 // t, 3, pad=1),
            "branch_pool": _Conv(i, pooled // t),
        }
    )


def _first_shrinking(before: int, t: int) -> _Mixed:
    i = before // t
    return _Mixed(
        {
            "branch3x3": _Conv(i, 384 // t, 3, 2),
            "branch3x3dbl_1": _Conv(i, 64 // t),
            "branch3x3dbl_2": _Conv(64 // t, 96 // t, 3, pad=1),
            "branch3x3dbl_3": _Conv(96 // t, 96 // t, 3, 2),
        },
        shrinks=True,
    )


_WIDE: tuple[Any, ...] = ((1, 7), 1, (0, 3))
_TALL: tuple[Any, ...] = ((7, 1), 1, (3, 0))


def _second(before: int, inner: int, t: int) -> _Mixed:
    i, c, o = before // t, inner // t, 192 // t
    return _Mixed(
        {
            "branch1x1": _Conv(i, o),
            "branch7x7_1": _Conv(i, c),
            "branch7x7_2": _Conv(c, c, *_WIDE),
            "branch7x7_3": _Conv(c, o, *_TALL),
            "branch7x7dbl_1": _Conv(i, c),
            "branch7x7dbl_2": _Conv(c, c, *_TALL),
            "branch7x7dbl_3": _Conv(c, c, *_WIDE),
            "branch7x7dbl_4": _Conv(c, c, *_TALL),
            "branch7x7dbl_5": _Conv(c, o, *_WIDE),
            "branch_pool": _Conv(i, o),
        }
    )


def _second_shrinking(before: int, t: int) -> _Mixed:
    i, c = before // t, 192 // t
    return _Mixed(
        {
            "branch3x3_1": _Conv(i, c),
            "branch3x3_2": _Conv(c, 320 // t, 3, 2),
            "branch7x7x3_1": _Conv(i, c),
            "branch7x7x3_2": _Conv(c, c, *_WIDE),
            "branch7x7x3_3": _Conv(c, c, *_TALL),
            "branch7x7x3_4": _Conv(c, c, 3, 2),
        },
        shrinks=True,
    )


def _third(before: int, pool: _Pool, t: int) -> _Mixed:
    i, c = before // t, 384 // t
    wide, tall = ((1, 3), 1, (0, 1)), ((3, 1), 1, (1, 0))
    return _Mixed(
        {
            "branch1x1": _Conv(i, 320 // t),
            "branch3x3_1": _Conv(i, c),
            "branch3x3_2a": _Conv(c, c, *wide),
            "branch3x3_2b": _Conv(c, c, *tall),
            "branch3x3dbl_1": _Conv(i, 448 // t),
            "branch3x3dbl_2": _Conv(448 // t, c, 3, pad=1),
            "branch3x3dbl_3a": _Conv(c, c, *wide),
            "branch3x3dbl_3b": _Conv(c, c, *tall),
            "branch_pool": _Conv(i, 192 // t),
        },
        pool=pool,
    )
