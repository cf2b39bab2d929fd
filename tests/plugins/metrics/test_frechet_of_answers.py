"""Fréchet distances over answers: values, statistics on disk, standard errors, extractors without weights."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from tests.plugins.metrics.scored import FLAT, metric, pair, values
from torch import Tensor

from anyloom.conversation import Media
from anyloom.errors import CheckpointError
from anyloom_metrics import functional as F
from anyloom_metrics.metrics.frechet import write_statistics
from anyloom_metrics.tiny_metrics import edits, picture


def test_frechet_distance_is_that_of_all_features() -> None:
    evaluated = edits(picture)
    measure = metric("frechet-distance", extractor=FLAT, modality="image", draws=0)
    found = values(measure, evaluated)
    made, real = (
        torch.stack([m[0].tensor().flatten()[:8] for m in media])
        for media in zip(
            *(((e.answer.media), (e.sample.conversation.messages[-1].media)) for e in evaluated if e.answer.media)
        )
    )
    with pytest.warns(UserWarning, match="singular"):
        expected = float(F.frechet_distance(made, real))
    assert found["edit/distance"] == pytest.approx(expected)
    assert (found["edit/count"], found["edit/flagged"]) == (5, 1)
    flags = measure.flags()
    assert any("singular" in said for said in flags["edit/distance"])
    assert flags["edit/flagged"] == ["1 of 6 samples: no answer"]
    assert "edit/shape/distance" in found, "groups have distances of their own"


def test_frechet_distance_to_statistics_on_disk(tmp_path: Path) -> None:
    reference = torch.rand(50, 8, generator=torch.Generator().manual_seed(0))
    write_statistics(reference, tmp_path / "reference.safetensors")
    measure = metric(
        "frechet-distance", extractor=FLAT, modality="image", statistics=str(tmp_path / "reference.safetensors")
    )
    found = values(measure, edits(picture))
    made = torch.stack([e.answer.media[0].tensor().flatten()[:8] for e in edits(picture) if e.answer.media])
    with pytest.warns(UserWarning, match="singular"):
        assert found["edit/distance"] == pytest.approx(float(F.frechet_distance(made, reference)), rel=1e-6)
    (tmp_path / "other.safetensors").write_bytes(b"nothing")
    with pytest.raises(CheckpointError):
        metric("frechet-distance", extractor=FLAT, modality="image", statistics=str(tmp_path / "other.safetensors"))


def test_bootstrap_agrees_with_theory() -> None:
    """For one dimension and a fixed reference the distance of means has the variance of a mean, by the delta method."""
    generator = torch.Generator().manual_seed(1)
    n, far = 200, 5.0

    def number(value: Tensor) -> Media:
        return Media("image", value * torch.eye(1, 8)[0], key=str(float(value)))

    evaluated = [
        pair(number(far + torch.randn(1, generator=generator)[0]), number(torch.randn(1, generator=generator)[0]), n=i)
        for i in range(n)
    ]
    measure = metric("frechet-distance", extractor=FLAT, modality="image", draws=100)
    measure.update(evaluated)
    # d = (m1 - m2)^2 + ..., whose standard error is about 2 (m1 - m2) sqrt(2 / n)
    assert measure.standard_errors()["edit/distance"] == pytest.approx(2 * far * math.sqrt(2 / n), rel=0.25)


def test_an_extractor_without_weights_is_flagged() -> None:
    measure = metric("image-alignment", extractor={"name": "dino", "hidden_size": 12, "layers": 1, "heads": 2})
    measure.update(edits(picture))
    assert measure.flags()["edit/alignment"] == ["the extractor has no weights"]


def test_a_protocol_that_is_not_followed_to_the_letter_says_so(tmp_path: Path) -> None:
    from anyloom_metrics.tiny_extractors import write_clip

    extractor = {"name": "clip-joint", "weights": str(write_clip(tmp_path))}
    own = metric("clipsim", extractor=extractor)
    theirs = metric("clipsim", extractor={**extractor, "resize": "instruct-pix2pix"})
    assert own.contract().preset == f"{theirs.contract().preset}, but resized as pillow"
    assert metric("log-spectral-distance", offset=1120).contract().preset == "audioldm_eval@4d6d18e"
