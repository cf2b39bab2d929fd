"""What the representation ``edit`` weighs and makes larger, against closed forms."""

from __future__ import annotations

import torch

from anyloom.interfaces import Before, FeatureSpace
from anyloom.options import validate
from anyloom_mini.edit import Edit
from anyloom_mini.edit_projectors import ChangeProjector

SPACE = FeatureSpace(name="toy", dim=4, tokens=3)


def edit(**options: float) -> Edit:
    torch.manual_seed(0)
    return Edit(validate(Edit.Config, options, where="edit"), given=SPACE, target=SPACE, hidden_size=8)


def test_errors_may_weigh_by_the_size_of_the_change() -> None:
    generator = torch.Generator().manual_seed(1)
    hidden = torch.randn(2, 4, 8, generator=generator)
    features, earlier = (torch.randn(2, 3, 4, generator=generator) for _ in range(2))
    before = Before(earlier, torch.tensor([True, True]))
    plain = edit().loss(hidden, features, before)
    weighed = edit(relative_to_change=0.2).loss(hidden, features, before)
    change = (features - earlier).square().mean((1, 2))
    torch.testing.assert_close(weighed, plain / (change + 0.2))


def test_emphasis_makes_changes_larger_outside_training_alone() -> None:
    torch.manual_seed(0)
    projector = ChangeProjector(ChangeProjector.Config(emphasis=1.5), 8, 4)
    for parameter in projector.parameters():  # it begins as no change at all
        torch.nn.init.normal_(parameter)
    hidden, source = torch.randn(2, 3, 8), torch.randn(2, 3, 4)
    learned = projector.train()(hidden, source) - source
    used = projector.eval()(hidden, source) - source
    assert float(learned.detach().abs().max()) > 1e-3
    torch.testing.assert_close(used, 1.5 * learned)
