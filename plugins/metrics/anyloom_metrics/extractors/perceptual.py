"""The network of LPIPS: AlexNet's five layers and the weights of their channels, in the layout of lpips 0.1."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from anyloom.storage.tensors import load_into, read_tensors
from anyloom_metrics.functional.lpips import lpips_distance

__all__ = ["PerceptualNetwork"]

_WIDTHS = (64, 192, 384, 256, 256)


class PerceptualNetwork(nn.Module):
    """LPIPS with AlexNet (arXiv 1801.03924, version 0.1), the form that papers evaluate with.

    Its keys are those of ``lpips.LPIPS(net="alex").state_dict()``.
    """

    def __init__(self) -> None:
        super().__init__()
        self.scaling_layer = _Scaling()
        self.net = _AlexNet()
        for number, width in enumerate(_WIDTHS):
            # a dropout stands first in the published layout
            layer = nn.Sequential(nn.Identity(), nn.Conv2d(width, 1, 1, bias=False))
            setattr(self, f"lin{number}", nn.ModuleDict({"model": layer}))
        self.requires_grad_(False).eval()

    def load(self, path: Path) -> None:
        """Read a safetensors file with the whole state dict.

        Raises:
            anyloom.errors.CheckpointError: It is missing, broken or of another network.
        """
        # the published module lists its last layers twice, once as "lins.0" and so on
        tensors = {k: v for k, v in read_tensors(path).items() if not k.startswith("lins.")}
        load_into(self, tensors, where=str(path))

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Distance per picture and layer ``(N, 5)`` of two batches ``(N, 3, H, W)`` in -1..1; LPIPS is their sum."""
        one, other = (self.net(self.scaling_layer(x)) for x in (first, second))
        weights = [self.get_submodule(f"lin{n}.model.1").weight[0, :, 0, 0] for n in range(len(_WIDTHS))]  # type: ignore[index]
        return lpips_distance(one, other, weights)


class _Scaling(nn.Module):
    shift: Tensor
    scale: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("shift", torch.tensor([-0.030, -0.088, -0.188])[None, :, None, None])
        self.register_buffer("scale", torch.tensor([0.458, 0.448, 0.450])[None, :, None, None])

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.shift) / self.scale


class _AlexNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        # numbers are the places in torchvision's AlexNet, where ReLUs stand between
        self.slice1 = nn.ModuleDict({"0": nn.Conv2d(3, 64, 11, 4, 2)})
        self.slice2 = nn.ModuleDict({"3": nn.Conv2d(64, 192, 5, padding=2)})
        self.slice3 = nn.ModuleDict({"6": nn.Conv2d(192, 384, 3, padding=1)})
        self.slice4 = nn.ModuleDict({"8": nn.Conv2d(384, 256, 3, padding=1)})
        self.slice5 = nn.ModuleDict({"10": nn.Conv2d(256, 256, 3, padding=1)})

    def forward(self, x: Tensor) -> list[Tensor]:
        """Five layers ``(N, C, H, W)`` after their ReLU."""
        found = []
        for name, part in self.named_children():
            if name in ("slice2", "slice3"):
                x = nn.functional.max_pool2d(x, 3, 2)
            (convolution,) = part.children()
            x = nn.functional.relu(convolution(x))
            found.append(x)
        return found
