"""Metrics of torchmetrics, named by class path: their own values, standard errors, refusals."""

from __future__ import annotations

import copy
import pickle
from dataclasses import replace
from typing import Any

import pytest
import torch
from torchmetrics.audio import ScaleInvariantSignalNoiseRatio
from torchmetrics.image import (
    MultiScaleStructuralSimilarityIndexMeasure,
    PeakSignalNoiseRatio,
    StructuralSimilarityIndexMeasure,
)
from torchmetrics.text import BLEUScore, CharErrorRate, WordErrorRate

from anyloom.building import build_named
from anyloom.conversation import Conversation, Media, Message
from anyloom.errors import AnyloomError, ConfigError, MediaError, PluginError
from anyloom.interfaces import Evaluated, Sample
from anyloom.testing import MetricCase, check_component
from anyloom_metrics.tiny_metrics import edits, picture, replies, sound
from metric_golden import golden

RANGE = {"data_range": 1.0}


def adapter(class_path: str, modality: str, **options: Any) -> Any:
    return build_named(
        "metric", {"name": "torchmetrics", "class_path": class_path, "modality": modality, **options}, where="m"
    )


def answered(evaluated: list[Evaluated]) -> tuple[torch.Tensor, torch.Tensor]:
    """Answers and targets of the samples that have an answer."""
    pairs = [
        (a.tensor(), t.tensor())
        for e in evaluated
        for a, t in zip(e.answer.media, e.sample.conversation.messages[-1].media)
    ]
    return torch.stack([a for a, _ in pairs]), torch.stack([t for _, t in pairs])


@pytest.mark.parametrize(
    ("cls", "arguments", "modality"),
    [
        (PeakSignalNoiseRatio, RANGE, "image"),
        (StructuralSimilarityIndexMeasure, RANGE, "image"),
        (ScaleInvariantSignalNoiseRatio, {}, "audio"),
    ],
)
def test_pairs_of_media_get_the_metrics_own_value(cls: Any, arguments: dict[str, Any], modality: str) -> None:
    evaluated = edits(picture if modality == "image" else sound)
    metric = adapter(f"{cls.__module__}.{cls.__name__}", modality, init_args=arguments, blocks=3)
    metric.update(evaluated)
    expected = cls(**arguments)
    expected.update(*answered(evaluated))
    found = metric.compute()
    assert float(found["all/value"]) == pytest.approx(float(expected.compute()), rel=1e-5)
    assert (float(found["all/count"]), float(found["all/flagged"])) == (5, 1)
    assert metric.measures["value"].better == "higher"


@pytest.mark.parametrize("cls", [WordErrorRate, CharErrorRate, BLEUScore])
def test_texts_get_the_metrics_own_value(cls: Any) -> None:
    evaluated = replies()
    metric = adapter(f"torchmetrics.text.{cls.__name__}", "text")
    metric.update(evaluated)
    expected = cls()
    targets = [e.sample.conversation.messages[-1].text for e in evaluated]
    expected.update([e.answer.text for e in evaluated], [[t] for t in targets] if cls is BLEUScore else targets)
    assert float(metric.compute()["all/value"]) == pytest.approx(float(expected.compute()), rel=1e-5)
    assert metric.measures["value"].better == ("higher" if cls is BLEUScore else "lower")


def test_several_references_go_to_metrics_that_take_them() -> None:
    several = ("a red cat", "the dog of snow")
    metric = adapter("torchmetrics.text.BLEUScore", "text", init_args={"n_gram": 1})
    metric.update(replies(references=several))
    expected = BLEUScore(n_gram=1)
    expected.update([e.answer.text for e in replies()], [several] * 6)
    assert float(metric.compute()["all/value"]) == pytest.approx(float(expected.compute()), rel=1e-5)
    with pytest.raises(MediaError, match="2 references, where WordErrorRate takes one"):
        adapter("torchmetrics.text.WordErrorRate", "text").update(replies(references=several))
    with pytest.raises(MediaError, match="SQuAD cannot take this sample"):
        adapter("torchmetrics.text.SQuAD", "text").update(replies())


def pairs(pred: torch.Tensor, ref: torch.Tensor) -> list[Evaluated]:
    """Samples of pictures ``(N, 3, H, W)``."""
    found = []
    for n, (made, real) in enumerate(zip(pred, ref)):
        messages = [Message("user", "x"), Message("assistant", [Media("image", real)])]
        sample = Sample(Conversation(messages), "edit", key=f"golden-{n}")
        found.append(Evaluated(sample, Message("assistant", [Media("image", made)])))
    return found


def test_pooled_psnr_and_msssim_equal_the_golden_ones() -> None:
    """ssim_psnr.npz, psnr_torchmetrics_pooled and msssim_torchmetrics_nearest192: 1e-5."""
    g = golden("ssim_psnr")
    pictures = [g[f"{n}_uint8"] for n in ("pred", "ref")]
    psnr = adapter("torchmetrics.image.PeakSignalNoiseRatio", "image", init_args=RANGE)
    psnr.update(pairs(*pictures))
    assert float(psnr.compute()["all/value"]) == pytest.approx(g["psnr_torchmetrics_pooled"], abs=1e-5)
    large = [torch.nn.functional.interpolate(p.float() / 255, size=(192, 192), mode="nearest") for p in pictures]
    cls = MultiScaleStructuralSimilarityIndexMeasure
    msssim = adapter(f"torchmetrics.image.{cls.__name__}", "image", init_args=RANGE)
    msssim.update(pairs(*large))
    assert float(msssim.compute()["all/value"]) == pytest.approx(g["msssim_torchmetrics_nearest192"], abs=1e-5)


def test_standard_error_of_a_mean_is_about_that_of_the_single_values() -> None:
    evaluated = [e for n in range(12) for e in shifted(edits(picture)[:5], n)]
    metric = adapter("torchmetrics.image.StructuralSimilarityIndexMeasure", "image", init_args=RANGE, blocks=60)
    metric.update(evaluated)
    each = StructuralSimilarityIndexMeasure(**RANGE, reduction="none")
    each.update(*answered(evaluated))
    single = each.compute()
    expected = float(single.std()) / len(single) ** 0.5
    assert metric.standard_errors()["all/value"] == pytest.approx(expected, rel=0.35)


def shifted(evaluated: list[Evaluated], n: int) -> list[Evaluated]:
    return [
        replace(
            e,
            sample=replace(e.sample, key=f"{e.sample.key}/{n}"),
            answer=Message("assistant", [picture(1000 * n + i)]),
        )
        for i, e in enumerate(evaluated)
    ]


def test_metrics_in_metrics() -> None:
    inner = {"class_path": "torchmetrics.image.PeakSignalNoiseRatio", "init_args": RANGE}
    metric = adapter("torchmetrics.wrappers.MinMaxMetric", "image", init_args={"base_metric": inner})
    metric.update(edits(picture))
    found = metric.compute()
    assert {"all/raw", "all/min", "all/max"} <= set(found)
    plain = adapter(inner["class_path"], "image", init_args=RANGE)
    plain.update(edits(picture))
    assert float(found["all/raw"]) == pytest.approx(float(plain.compute()["all/value"]))
    assert metric.standard_errors()["all/raw"] == pytest.approx(plain.standard_errors()["all/value"])


@pytest.mark.slow
def test_other_metrics_of_torchmetrics_conform() -> None:
    case = MetricCase(
        "torchmetrics",
        options={"class_path": "torchmetrics.image.PeakSignalNoiseRatio", "init_args": RANGE, "modality": "image"},
        evaluated=edits(picture),
    )
    assert [r for r in check_component(case) if r.verdict == "failed"] == []


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"class_path": "torch.nn.Linear"}, PluginError, "not a subclass of torchmetrics.Metric"),
        ({"class_path": "torchmetrics.image.NoSuchThing"}, PluginError, "cannot be imported"),
        ({"class_path": "no_such_module.Metric"}, PluginError, "cannot be imported"),
        ({"class_path": "PeakSignalNoiseRatio"}, ConfigError, "no class path"),
        (
            {"class_path": "torchmetrics.image.PeakSignalNoiseRatio", "init_args": {"reach": 1}},
            ConfigError,
            "cannot be built",
        ),
        ({"class_path": "torchmetrics.Metric"}, ConfigError, "cannot be built"),
        (
            {
                "class_path": "torchmetrics.wrappers.MinMaxMetric",
                "init_args": {"base_metric": {"class_path": "os.system", "init_args": {}}},
            },
            PluginError,
            "not a subclass",
        ),
    ],
)
def test_what_is_no_metric_is_refused(options: dict[str, Any], error: type[AnyloomError], said: str) -> None:
    with pytest.raises(error, match=said):
        adapter(options.pop("class_path"), "image", **options)


def test_a_sample_that_the_metric_cannot_take_is_named() -> None:
    other = [replace(edits(picture)[0], answer=Message("assistant", [Media("image", torch.rand(3, 9, 9))]))]
    metric = adapter("torchmetrics.image.PeakSignalNoiseRatio", "image", init_args=RANGE)
    with pytest.raises(MediaError, match=r"sample-0.*PeakSignalNoiseRatio cannot take this sample"):
        metric.update(other)


def test_copies_and_pickles_keep_their_samples() -> None:
    metric = adapter("torchmetrics.text.WordErrorRate", "text", blocks=3)
    metric.update(replies())
    for twin in (copy.deepcopy(metric), pickle.loads(pickle.dumps(metric))):
        assert twin.compute() == metric.compute()
    metric.reset()
    with pytest.warns(UserWarning, match="before the ``update``"):
        assert metric.compute() == {}
