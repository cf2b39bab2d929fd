"""Sounds that were answered: distances, synchrony, and that nothing broken or silent is measured."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from tests.plugins.metrics.scored import FLAT, metric, pair, values

from anyloom.conversation import Conversation, Media, Message
from anyloom.errors import MediaError
from anyloom.interfaces import Evaluated, Sample
from anyloom_metrics import functional as F
from anyloom_metrics.tiny_metrics import beep, clip, edits, sound


def quiet(level: float = 0.0) -> Media:
    return Media("audio", torch.full((1, 8000), level), key=f"quiet-{level}", meta={"sample_rate": 16000.0})


def broken() -> Media:
    return Media("audio", torch.full((1, 8000), math.nan), key="broken", meta={"sample_rate": 16000.0})


@pytest.mark.parametrize(
    ("answer", "target", "said"),
    [
        (quiet(), sound(1), "the answer is silent"),
        (quiet(0.3), sound(1), "the answer is silent"),
        (broken(), sound(1), "the answer holds NaN or infinite values"),
        (None, sound(1), "no answer"),
        (sound(2), quiet(), "the reference is silent"),
        (sound(2), broken(), "the reference holds NaN or infinite values"),
    ],
)
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("log-spectral-distance", {}),
        ("paired-kl-divergence", {"extractor": FLAT}),
        ("frechet-distance", {"extractor": FLAT, "modality": "audio"}),
        (
            "torchmetrics",
            {"class_path": "torchmetrics.audio.ScaleInvariantSignalNoiseRatio", "modality": "audio"},
        ),
    ],
)
def test_silent_broken_and_missing_sounds_are_flagged_not_measured(
    answer: Media | None, target: Media, said: str, name: str, options: dict[str, Any]
) -> None:
    fine = [pair(sound(n), sound(n + 50), number=n) for n in range(3)]
    alone, whole = metric(name, **options), metric(name, **options)
    expected, found = values(alone, fine), values(whole, [*fine, pair(answer, target, number=9)])
    for key, value in found.items():
        if not key.endswith(("count", "flagged")):
            assert value == pytest.approx(expected[key]), "what cannot be scored moves no value"
    group = "all" if name == "torchmetrics" else "edit"
    assert (found[f"{group}/count"], found[f"{group}/flagged"]) == (3, 1)
    assert whole.flags()[f"{group}/flagged"] == [f"1 of 4 samples: {said}"]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("log-spectral-distance", {}),
        ("paired-kl-divergence", {"extractor": {"name": "cnn14", "thin": 32, "features": "logits"}}),
        ("torchmetrics", {"class_path": "torchmetrics.audio.SignalNoiseRatio", "modality": "audio"}),
    ],
)
def test_another_sample_rate_is_an_error(name: str, options: dict[str, Any]) -> None:
    fast = replace(sound(1), meta={"sample_rate": 44100.0})
    for answer, target in ((fast, sound(2)), (sound(2), fast)):
        with pytest.raises(MediaError, match="44100 Hz"):
            metric(name, **options).update([pair(answer, target)])


def test_spectral_distance_and_its_error_are_those_of_the_single_values() -> None:
    evaluated = edits(sound)
    measure = metric("log-spectral-distance")
    found = values(measure, evaluated)
    each = [
        float(F.log_spectral_distance(e.answer.media[0].tensor()[0], t.tensor()[0], sample_rate=16000))
        for e in evaluated
        if e.answer.media
        for t in e.sample.conversation.messages[-1].media
    ]
    assert found["edit/distance"] == pytest.approx(np.mean(each))
    assert measure.standard_errors()["edit/distance"] == pytest.approx(np.std(each, ddof=1) / math.sqrt(5))
    assert [s.values.get("distance") for s in measure.scores()][:5] == pytest.approx(each)
    assert measure.scores()[5].values == {}
    late = metric("log-spectral-distance", offset=1120)
    assert "audioldm_eval" in late.contract().preset
    assert values(late, evaluated)["edit/distance"] != pytest.approx(found["edit/distance"])


def test_synchrony_of_answers() -> None:
    late = [
        Evaluated(
            Sample(Conversation([Message("assistant", [clip(n), beep(n)])]), "joint", key=str(n)),
            Message("assistant", [clip(n), beep(n)]),
        )
        for n in range(3)
    ]
    still = replace(clip(0), data=torch.zeros(10, 3, 4, 4))
    late.append(replace(late[0], answer=Message("assistant", [still, beep(0)])))
    measure = metric("audio-video-synchrony")
    found = values(measure, late)
    assert (found["joint/offset"], found["joint/late"]) == pytest.approx((0.1, 0.1)), "a frame of 10 per second"
    assert measure.flags()["joint/flagged"] == ["1 of 4 samples: nothing moves in the answer"]


def test_sounds_of_very_different_length_are_flagged() -> None:
    short = replace(sound(1), data=sound(1).tensor()[:, :4000])
    measure = metric("log-spectral-distance")
    found = values(measure, [pair(short, sound(2), n=1), pair(sound(1), sound(2), n=2)])
    assert (found["edit/count"], found["edit/flagged"], found["edit/compared"]) == (2, 0, 0.75)
    assert measure.flags()["edit/distance"][0].startswith("1 of 2 pairs differ in length")
