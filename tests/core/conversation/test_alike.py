"""Media are alike to a model by what is in them, however they came; files say so without being opened."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from anyloom.conversation import Media
from anyloom.conversation.alike import reads_alike


@dataclass(frozen=True)
class File:
    """A file that says what it holds."""

    holds: str

    def __call__(self) -> Tensor:
        raise AssertionError("a clip may be an hour long")

    def content(self) -> str:
        return self.holds


@dataclass(frozen=True)
class Opened:
    """A loader that says nothing about what it loads."""

    value: float

    def __call__(self) -> Tensor:
        return torch.full((2,), self.value)


def test_files_are_compared_without_being_opened() -> None:
    a, b, c = (Media("clip", loader=File(holds), key=key) for holds, key in (("x", "a"), ("x", "b"), ("y", "c")))
    assert reads_alike(a, b)
    assert not reads_alike(a, c)


@pytest.mark.parametrize(
    ("other", "alike"),
    [
        (Media("clip", torch.ones(2)), True),
        (Media("clip", loader=Opened(1.0)), True),
        (Media("clip", loader=Opened(0.0)), False),
        (Media("clip", torch.ones(3)), False),
        (Media("clip", torch.ones(2), meta={"rate": 2.0}), False),
        (Media("sound", torch.ones(2)), False),
        (Media("clip", torch.ones(2), features=torch.zeros(1, 4)), False),
        (Media("clip", torch.ones(2), caption="a cat"), False),
        (Media("clip", torch.ones(2).double()), False),
    ],
)
def test_numbers_and_what_goes_with_them_are_compared(other: Media, alike: bool) -> None:
    assert reads_alike(Media("clip", torch.ones(2)), other) == alike


def test_features_stand_for_the_media_that_were_made_from_them() -> None:
    features = torch.randn(1, 4)
    made = Media("clip", torch.ones(2), features=features, space="s")
    assert reads_alike(made, Media("clip", torch.zeros(2), features=features.clone(), space="s"))
    assert not reads_alike(made, Media("clip", torch.ones(2), features=features, space="t"))
