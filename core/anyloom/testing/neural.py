"""What every component with parameters must do."""

from __future__ import annotations

import re
import unittest
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from anyloom.interfaces import NeuralComponent
from anyloom.testing.checking import check, require
from anyloom.testing.component import ComponentChecks

__all__ = ["NeuralChecks", "close", "same"]

ATOL, RTOL = 1e-4, 1e-3
_NEEDS_VALUES = re.compile(r"item\(\) cannot be called on meta|register_meta function for torch.nonzero")
"""What PyTorch says where code looks at values (is this mask full?), which tensors on meta do not have."""


def same(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> bool:
    """Whether two sets of tensors are equal, bit by bit.

    >>> same({"w": torch.ones(2)}, {"w": torch.ones(2)}), same({"w": torch.ones(2)}, {})
    (True, False)
    """
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


def close(first: Tensor, second: Tensor) -> bool:
    """Whether two tensors agree up to the order of additions.

    >>> close(torch.ones(2), torch.ones(2) + 1e-7), close(torch.ones(2), torch.zeros(2))
    (True, False)
    """
    return first.shape == second.shape and torch.allclose(first.float(), second.float(), atol=ATOL, rtol=RTOL)


class NeuralChecks(ComponentChecks):
    """Checks of a component with parameters; a subclass says how to run it (:meth:`outputs`)."""

    runs_on_meta = True
    """Whether :meth:`outputs` can run where tensors have no values."""

    def outputs(self, case: Any, part: Any) -> dict[str, Tensor]:
        """Run the component once on inputs that depend on the case alone; results by a name of each."""
        raise NotImplementedError

    def use(self, case: Any) -> None:
        """Build it, load its weights, run it."""
        part = self.made(case)
        part.load_weights()
        self.run(case, part)

    def made(self, case: Any, *, seed: int = 0, **more: Any) -> Any:
        """Build the component in evaluation mode, under a seed."""
        torch.manual_seed(seed)
        return case.build(**more).eval()

    def shaken(self, case: Any, **more: Any) -> Any:
        """Build it and move every parameter a little, so that parts which start at zero take part as well."""
        part = self.made(case, **more)
        with torch.no_grad():
            for parameter in part.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))
        return part

    @torch.no_grad()
    def run(self, case: Any, part: Any) -> dict[str, Tensor]:
        """:meth:`outputs` without gradient, under one seed."""
        torch.manual_seed(1)
        return self.outputs(case, part)

    @check("build only the structure in __init__ and read files in load_weights; name no device")
    def test_builds_on_the_meta_device(self, case: Any) -> None:
        """It builds on the meta device, where `anyloom check` builds the whole model without memory."""
        with torch.device("meta"):
            part = case.build()
        require(isinstance(part, NeuralComponent), "it is no NeuralComponent")
        real = [n for n, t in _tensors(part) if not t.is_meta]
        require(not real, f"on the meta device these have memory: {', '.join(real[:3])}")

    @check("draw initial values from torch's global generator only, and make nothing depend on time or order of sets")
    def test_builds_equal_under_one_seed(self, case: Any) -> None:
        """Built twice under one seed it has equal parameters."""
        first, second = (self.made(case).state_dict() for _ in range(2))
        require(same(first, second), "two builds under one seed differ")

    @check("switch dropout and noise off in eval(), and use the global generator where there must be chance")
    def test_is_deterministic(self, case: Any) -> None:
        """In evaluation mode, run twice on equal inputs under one seed, it gives equal results."""
        part = self.shaken(case)
        require(same(self.run(case, part), self.run(case, part)), "two runs on equal inputs differ")

    @check("register every tensor that matters as a parameter or a (persistent) buffer")
    def test_state_dict_round_trips(self, case: Any) -> None:
        """Its state dict holds all that its results depend on."""
        part, other = self.shaken(case), self.made(case, seed=7)
        state = part.state_dict()
        strange = [k for k, v in state.items() if not isinstance(v, Tensor)]
        require(not strange, f"the state dict holds more than tensors: {', '.join(strange[:3])}")
        other.load_state_dict({k: v.clone() for k, v in state.items()})
        first, second = self.run(case, part), self.run(case, other)
        alike = all(close(first[k], second[k]) for k in first)
        require(alike, "a copy with the same state gives other results")

    @check("keep tensors as buffers instead of plain attributes, and make new ones on the device of the input")
    def test_moves_between_devices(self, case: Any) -> None:
        """Moved to another device (CUDA, or else meta) it runs there, on inputs from there."""
        cuda = torch.cuda.is_available()
        part = self.shaken(case)
        if not any(True for _ in _tensors(part)):
            raise unittest.SkipTest("it has neither parameters nor buffers: it runs where its inputs are")
        before = self.run(case, part)
        device = torch.device("cuda" if cuda else "meta")
        part.to(device)
        left = [n for n, t in _tensors(part) if t.device.type != device.type]
        require(not left, f"after .to({device}) these are still elsewhere: {', '.join(left[:3])}")
        if not cuda and not self.runs_on_meta:
            return
        try:
            after = self.run(case, part)
        except RuntimeError as error:
            if not cuda and _NEEDS_VALUES.search(str(error)):
                return
            raise
        elsewhere = [k for k, v in after.items() if v.device.type != device.type]
        require(not elsewhere, f"on {device} these results are elsewhere: {', '.join(elsewhere)}")
        require(all(after[k].shape == before[k].shape for k in before), f"on {device} the results have other shapes")

    @check("keep operations that need float32 in float32 (tensor.float()), and cast back to the input's precision")
    def test_runs_under_bfloat16_autocast(self, case: Any) -> None:
        """It runs under bfloat16 autocast, with results of equal shape and without NaN."""
        part = self.shaken(case)
        plain = self.run(case, part)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            mixed = self.run(case, part)
        for key, value in mixed.items():
            require(value.shape == plain[key].shape, f"{key} has the shape {tuple(value.shape)} under autocast")
            require(bool(value.isfinite().all()), f"{key} holds NaN or infinite values under autocast")

    def require_gradient(self, part: nn.Module, what: str) -> None:
        """Raise unless some parameter has a gradient that is not zero."""
        if not any(True for _ in part.parameters()):
            raise unittest.SkipTest("it has no parameters")
        moved = any(p.grad is not None and bool(p.grad.abs().sum() > 0) for p in part.parameters())
        require(moved, f"{what}, no parameter gets a gradient")


def _tensors(part: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Parameters, buffers, and tensors that modules keep as plain attributes."""
    yield from part.named_parameters()
    yield from part.named_buffers()
    for name, module in part.named_modules():
        for key, value in vars(module).items():
            if isinstance(value, Tensor):
                yield f"{name}.{key}" if name else key, value
