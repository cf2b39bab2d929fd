"""Features of a gallery are encoded once for all runs, and again when anything that they depend on differs."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from anyloom.conversation import Media
from anyloom.interfaces import Encoder, FeatureSpace
from anyloom_incontext import kept_rows
from anyloom_incontext.features import FeatureTable

GALLERY = [Media("image", torch.full((2,), float(n)), key=f"picture {n}") for n in range(5)]


class Scaling(Encoder):
    """Multiplies by a weight, and counts what it has seen."""

    seen = 0

    def __init__(self, config: Any = None, scale: float = 2.0) -> None:
        super().__init__(config or self.Config())
        self.scale = nn.Parameter(torch.tensor(scale), requires_grad=False)

    def feature_space(self, modality: str) -> FeatureSpace:
        return FeatureSpace(name="plane", dim=2)

    def preprocess(self, media: Media) -> Tensor:
        return media.tensor()

    def forward(self, inputs: Tensor, modality: str) -> Tensor:
        type(self).seen += len(inputs)
        return inputs[:, None] * self.scale


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "anyloom" / "galleries"


def encoded(scale: float = 2.0, source: str | None = "1", media: list[Media] = GALLERY) -> int:
    """How many media a new process would encode; the rows are right."""
    encoder = Scaling(scale=scale)
    table = FeatureTable(SimpleNamespace(encoder=lambda _: encoder, device=torch.device("cpu")), "image")
    Scaling.seen = 0
    table.add_listed(media, source)
    assert torch.equal(table.get(media), torch.stack([m.tensor() for m in media]) * scale)
    return Scaling.seen


def test_a_second_run_encodes_nothing(folder: Path) -> None:
    assert [encoded(), encoded()] == [5, 0]
    assert len(list(folder.iterdir())) == 1


def test_what_differs_is_encoded_again() -> None:
    assert encoded() == 5
    assert [encoded(scale=3.0), encoded(source="2"), encoded(media=GALLERY[::-1])] == [5, 5, 5]
    assert encoded() == 0


def test_nothing_is_kept_of_media_that_nobody_can_tell_apart(folder: Path) -> None:
    assert [encoded(source=None), encoded(source=None)] == [5, 5]
    assert encoded(media=[*GALLERY, Media("image", torch.ones(2))]) == 6
    assert not folder.exists()


@pytest.mark.parametrize("damage", [lambda content: content[:-3], lambda content: content[:-1] + b"\1", lambda _: b""])
def test_a_broken_file_is_made_again(folder: Path, damage: Any) -> None:
    encoded()
    [file] = folder.iterdir()
    file.write_bytes(damage(file.read_bytes()))
    assert [encoded(), encoded()] == [5, 0]


def test_a_folder_that_cannot_be_written_stops_nobody(folder: Path) -> None:
    folder.parent.mkdir(parents=True)
    folder.write_text("no folder")
    assert [encoded(), encoded()] == [5, 5]


def test_the_files_read_least_lately_make_room(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoded()
    [first] = folder.iterdir()
    monkeypatch.setattr(kept_rows, "_LIMIT", 2 * first.stat().st_size)
    encoded(source="2")
    for age, file in enumerate([first, *(set(folder.iterdir()) - {first})]):
        os.utime(file, (1_000_000 - age, 1_000_000 - age))
    assert encoded() == 0  # read now
    encoded(source="3")
    assert first.exists()
    assert [encoded(), encoded(source="3"), encoded(source="2")] == [0, 0, 5]


def test_the_starter_pack_says_what_its_pictures_depend_on() -> None:
    from anyloom_starter.builder import StarterBuilder

    source = StarterBuilder.from_options({}).gallery_source()
    assert len(source) == 64
    assert source == StarterBuilder.from_options({"num_queries": 2}).gallery_source()
