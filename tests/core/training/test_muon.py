"""Muon beside AdamW: each parameter is stepped as torch's own optimizer would, and a state dict takes it on."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.optim import AdamW, Muon

from anyloom.training.muon import MuonWithAdamW


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(7, 6)
        self.up = nn.Linear(6, 10)
        self.down = nn.Linear(10, 6)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.down(torch.relu(self.up(self.embed(ids)))).square().sum()


def run(net: Net, optimizers: list[torch.optim.Optimizer], steps: range) -> None:
    for step in steps:
        net.zero_grad()
        net(torch.arange(step, step + 5) % 7).backward()
        for optimizer in optimizers:
            optimizer.step()


def one(net: Net) -> MuonWithAdamW:
    return MuonWithAdamW(net.named_parameters(), lr=0.01, betas=(0.9, 0.98), weight_decay=0.1)


def test_each_parameter_is_stepped_as_by_torchs_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch's, let to compute in float32 as ours does on a CPU."""
    monkeypatch.setattr(torch.Tensor, "bfloat16", lambda tensor: tensor.clone())
    torch.manual_seed(0)
    ours = Net()
    theirs = copy.deepcopy(ours)
    run(ours, [one(ours)], range(6))
    muon = Muon([theirs.up.weight, theirs.down.weight], lr=0.01, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    vectors = {"params": [theirs.up.bias, theirs.down.bias], "weight_decay": 0.0}
    table = {"params": [theirs.embed.weight], "weight_decay": 0.1}
    run(theirs, [muon, AdamW([table, vectors], lr=0.01, betas=(0.9, 0.98), fused=True)], range(6))
    for (name, mine), other in zip(ours.named_parameters(), theirs.parameters()):
        torch.testing.assert_close(mine, other, rtol=0, atol=1e-6, msg=name)


def test_a_run_goes_on_from_its_state() -> None:
    torch.manual_seed(0)
    whole = Net()
    cut = copy.deepcopy(whole)
    run(whole, [one(whole)], range(8))
    first = one(cut)
    run(cut, [first], range(4))
    again = copy.deepcopy(cut)
    second = one(again)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    run(again, [second], range(4, 8))
    for mine, other in zip(again.parameters(), whole.parameters()):
        assert torch.equal(mine, other)


def test_a_schedule_moves_both() -> None:
    net = Net()
    optimizer = one(net)
    for group in optimizer.param_groups:
        group["lr"] = 0.0
    before = copy.deepcopy(net.state_dict())
    run(net, [optimizer], range(2))
    assert all(torch.equal(before[name], tensor) for name, tensor in net.state_dict().items())
