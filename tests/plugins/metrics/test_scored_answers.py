"""Metrics over evaluated samples: values, counts, standard errors, flags, and that nothing is measured in silence."""

from __future__ import annotations

import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from anyloom.building import build_named
from anyloom.conversation import Conversation, Media, Message
from anyloom.discovery import get_registry
from anyloom.errors import CheckpointError, ConfigError, MediaError
from anyloom.interfaces import Encoder, Evaluated, FeatureSpace, Sample
from anyloom.testing import tiny_case
from anyloom_metrics import functional as F
from anyloom_metrics.metrics.frechet import write_statistics
from anyloom_metrics.tiny_metrics import beep, clip, edits, picture, replies, sound

OURS = [s for s in get_registry().components("metric") if s.plugin == "anyloom_metrics"]


class Flat(Encoder):
    """The first numbers of a medium are its feature."""

    def feature_space(self, modality: str) -> FeatureSpace:
        return FeatureSpace(name="flat", dim=8)

    def preprocess(self, media: Media) -> Tensor:
        return media.tensor().float().flatten()[:8]

    def forward(self, inputs: Tensor, modality: str) -> Tensor:
        return inputs[:, None]


FLAT = {"class_path": f"{__name__}.Flat"}


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys
    from types import SimpleNamespace

    monkeypatch.setitem(sys.modules, __name__, SimpleNamespace(Flat=Flat))


def metric(name: str, **options: Any) -> Any:
    return build_named("metric", {"name": name, **options}, where="metric")


def pair(answer: Media | None, target: Media, *before: Media, task: str = "edit", **facts: Any) -> Evaluated:
    messages = [Message("user", ["make it so", *before]), Message("assistant", [target])]
    said: list[Any] = ["no"] if answer is None else [answer]
    return Evaluated(Sample(Conversation(messages), task, facts, key=str(facts)), Message("assistant", said))


def values(measure: Any, evaluated: list[Evaluated]) -> dict[str, float]:
    measure.update(evaluated)
    return {k: float(v) for k, v in measure.compute().items()}


@pytest.mark.parametrize("spec", OURS, ids=lambda s: s.name)
def test_every_value_says_what_it_is_and_has_n_and_an_error(spec: Any, tmp_path: Path) -> None:
    case = tiny_case(spec, tmp_path)
    measure = case.build()
    measure.update(list(case.evaluated))
    found, errors, contract = measure.compute(), measure.standard_errors(), measure.contract()
    assert contract.inputs
    named = {name for name in found if name.rpartition("/")[2] in measure.measures}
    assert {name.rpartition("/")[2] for name in named} == set(measure.measures)
    for name in named:
        group = name.rpartition("/")[0]
        assert f"{group}/count" in found
        if float(found[f"{group}/count"]) > 3 and not name.endswith("_rank"):
            assert errors[name] >= 0, name
    assert all(math.isfinite(error) for error in errors.values())


@pytest.mark.parametrize("spec", OURS, ids=lambda s: s.name)
def test_order_does_not_count(spec: Any, tmp_path: Path) -> None:
    case = tiny_case(spec, tmp_path)
    measure, turned = case.build(), case.build()
    measure.update(list(case.evaluated))
    for one in reversed(case.evaluated):
        turned.update([one])
    for name, value in measure.compute().items():
        assert float(turned.compute()[name]) == pytest.approx(float(value), rel=1e-4, abs=1e-5), name
    for name, error in measure.standard_errors().items():
        assert turned.standard_errors()[name] == pytest.approx(error, rel=1e-3, abs=1e-5), name
    assert measure.flags() == turned.flags()


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


def test_image_alignment_pairs_with_the_input_or_with_all() -> None:
    def flat(*numbers: float) -> Media:
        return Media("image", torch.tensor([*numbers] + [0.0] * (8 - len(numbers))), key=str(numbers))

    one = pair(flat(1, 0), flat(9, 9), flat(1, 1), real=(flat(1, 0), flat(0, 1)))
    by_input = metric("image-alignment", extractor=FLAT)
    assert values(by_input, [one])["edit/alignment"] == pytest.approx(math.sqrt(0.5))
    by_all = metric("image-alignment", extractor=FLAT, pairing="all")
    assert values(by_all, [one])["edit/alignment"] == pytest.approx(0.5)
    assert by_input.contract().preset != by_all.contract().preset
    opposite = metric("image-alignment", extractor=FLAT)
    assert values(opposite, [pair(flat(-1, 0), flat(0, 0), flat(1, 0))])["edit/alignment"] == 0, "the mean is cut off"
    assert opposite.scores()[0].values["alignment"] == pytest.approx(-1), "the single value is not"
    bare = metric("image-alignment", extractor=FLAT, pairing="all")
    assert values(bare, [pair(flat(1, 0), flat(0, 1))]) == {"edit/count": 0, "edit/flagged": 1}
    assert bare.flags() == {"edit/flagged": ["1 of 1 samples: no reference"]}


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


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("psnr", {}),
        ("ssim", {}),
        ("frechet-distance", {"extractor": {"name": "inception-fid", "thin": 16}, "modality": "image"}),
        (
            "torchmetrics",
            {
                "class_path": "torchmetrics.image.PeakSignalNoiseRatio",
                "init_args": {"data_range": 1.0},
                "modality": "image",
            },
        ),
    ],
)
@pytest.mark.parametrize("scale", [255.0, -1.0])
def test_float_pictures_of_another_range_are_an_error(name: str, options: dict[str, Any], scale: float) -> None:
    strange = Media("image", scale * torch.rand(3, 20, 24), key="strange")
    for answer, target in ((strange, picture(1)), (picture(1), strange)):
        with pytest.raises(MediaError, match=r"0\.\.1"):
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


def test_equal_pictures() -> None:
    same = [pair(picture(n), picture(n), number=n) for n in range(3)]
    assert values(metric("psnr"), same)["edit/psnr"] == 100
    assert values(metric("ssim"), same)["edit/ssim"] == pytest.approx(1)


def test_bytes_and_floats_are_one_picture() -> None:
    data = torch.randint(0, 256, (2, 3, 20, 24), dtype=torch.uint8)
    as_bytes = pair(Media("image", data[0]), Media("image", data[1]))
    as_floats = pair(Media("image", data[0].float() / 255), Media("image", data[1].float() / 255))
    for name in ("psnr", "ssim"):
        assert values(metric(name), [as_bytes]) == pytest.approx(values(metric(name), [as_floats]))


def test_clip_score_in_both_conventions(tmp_path: Path) -> None:
    from anyloom_metrics.tiny_extractors import write_clip

    extractor = {"name": "clip-joint", "weights": str(write_clip(tmp_path))}
    evaluated = edits(picture, references=("a red cat", "blue dog"))
    hessel = metric("clip-score", extractor=extractor)
    other = metric("clip-score", extractor=extractor, convention="torchmetrics")
    first, second = values(hessel, evaluated), values(other, evaluated)
    assert hessel.contract().preset != other.contract().preset
    assert {"edit/score", "edit/ref_score"} <= set(first)
    assert "edit/ref_score" not in second
    from anyloom_metrics.metrics.looking import Looking

    looking = Looking(extractor, "image")
    device = torch.device("cpu")
    shown = [e.answer.media[0] for e in evaluated if e.answer.media]
    pictures = torch.stack(looking.media(shown, device))[:, 0]
    prompts = [e.sample.conversation.messages[0].text for e in evaluated][: len(shown)]
    plain = torch.cosine_similarity(pictures, looking.texts(prompts, device))
    assert second["edit/score"] == pytest.approx(max(0.0, 100 * float(plain.mean())), abs=1e-4)
    prefixed = torch.cosine_similarity(pictures, looking.texts([f"A photo depicts {p}" for p in prompts], device))
    assert first["edit/score"] == pytest.approx(2.5 * float(prefixed.clamp(min=0).mean()), abs=1e-5)


def test_directional_similarity_needs_both_captions(tmp_path: Path) -> None:
    from anyloom_metrics.tiny_extractors import write_clip

    extractor = {"name": "clip-joint", "weights": str(write_clip(tmp_path))}
    evaluated = [*edits(picture), pair(picture(1), picture(2), picture(3), caption="a cat")]
    measure = metric("clipsim", extractor=extractor)
    found = values(measure, evaluated)
    assert (found["edit/count"], found["edit/flagged"]) == (5, 2)
    assert "1 of 7 samples: no text" in measure.flags()["edit/flagged"]
    unchanged = pair(picture(3), picture(2), picture(3), caption="a cat", edited_caption="a dog")
    assert values(metric("clipsim", extractor=extractor), [unchanged])["edit/directional"] == 0


def test_an_extractor_without_text_cannot_judge_texts() -> None:
    measure = metric("text-image-alignment", extractor=FLAT)
    with pytest.raises(ConfigError, match="takes no texts"):
        measure.update(edits(picture))
    with pytest.raises(ConfigError, match="no_such"):
        metric("text-image-alignment", extractor={"name": "dino", "no_such": 1})


def test_retrieval_finds_its_own_text(tmp_path: Path) -> None:
    class Same(Flat):
        def embed_texts(self, texts: list[str]) -> Tensor:
            return torch.stack([torch.eye(8)[int(t)] for t in texts])

    import sys

    sys.modules[__name__].Same = Same  # type: ignore[attr-defined]
    answers = [2, 1, 0, 3]  # the first three answers show other texts' pictures, but for the second
    evaluated = [
        pair(Media("image", torch.eye(8)[a], key=f"{n}"), Media("image", torch.zeros(8)), prompt=str(n))
        for n, a in enumerate(answers)
    ]
    measure = metric("text-media-retrieval", extractor={"class_path": f"{__name__}.Same"}, top=(1, 4))
    found = values(measure, evaluated)
    assert found["edit/to_text_top1"] == found["edit/to_media_top1"] == 0.5
    assert found["edit/to_text_top4"] == 1
    assert found["edit/to_text_gallery"] == 4


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


def test_answers_in_words() -> None:
    wer = values(metric("word-error-rate"), replies())
    counts = [F.word_errors(e.answer.text, e.sample.conversation.messages[-1].text) for e in replies()]
    assert wer["ask/rate"] == pytest.approx(sum(c.edits for c in counts) / sum(c.words for c in counts))
    people = ("yes",) * 3 + ("no",) * 7
    asked = [Evaluated(replies()[0].sample, Message("assistant", "Yes"))]
    asked = [replace(e, sample=replace(e.sample, provenance={"answers": people})) for e in asked]
    assert values(metric("vqa-accuracy"), asked)["ask/accuracy"] == pytest.approx(0.9)
    bare = metric("vqa-accuracy")
    assert values(bare, replies()) == {"ask/count": 0, "ask/flagged": 6}


def test_structure_of_interleaved_answers() -> None:
    target = [picture(1), "and ", "text", picture(2)]
    messages = [Message("user", "show"), Message("assistant", target)]
    sample = Sample(Conversation(messages), "tell")
    right = Evaluated(sample, Message("assistant", [picture(3), " words ", picture(4)]))
    short = Evaluated(replace(sample, key="2"), Message("assistant", [picture(3), "words"]))
    found = values(metric("answer-structure"), [right, short])
    assert (found["tell/order"], found["tell/kinds"], found["tell/counts"]) == (0.5, 1, 0.5)
    assert found["tell/aligned"] == pytest.approx((1 + 0.8) / 2)


def test_caption_scores_are_those_of_the_tokenised_texts() -> None:
    evaluated = replies(references=("A cat, in snow!", "the dog's bell"))
    measure = metric("captions", draws=5)
    found = values(measure, evaluated)
    texts = [F.caption_words(e.answer.text) for e in evaluated]
    references = [[F.caption_words(t) for t in ("A cat, in snow!", "the dog's bell")]] * len(texts)
    expected = F.caption_scores(texts, references)
    assert [found[f"ask/bleu_{n}"] for n in (1, 2, 3, 4)] == pytest.approx(list(expected.bleu))
    assert (found["ask/rouge_l"], found["ask/cider"]) == pytest.approx((expected.rouge_l, expected.cider))
    assert "6 pictures" in measure.flags()["ask/cider"][0]


@pytest.mark.skipif(shutil.which("java") is None, reason="the Stanford tokeniser is a Java program")
def test_captions_through_the_stanford_tokeniser() -> None:
    evaluated = replies(references=("A (red) cat in snow!", "the dog's bell"))
    measure = metric("captions", draws=0, tokenizer="stanford")
    found = values(measure, evaluated)
    references = [F.stanford_words(["A (red) cat in snow!", "the dog's bell"])] * 6
    expected = F.caption_scores(F.stanford_words([e.answer.text for e in evaluated]), references)
    assert found["ask/bleu_1"] == pytest.approx(expected.bleu[0])
    assert measure.contract().preset == "pycocoevalcap@1.2"


def test_k_and_family_are_groups() -> None:
    found = values(metric("psnr"), edits(picture))
    assert {n for n in found if n.endswith("psnr")} == {
        f"edit{g}/psnr"
        for g in (
            "",
            "/k0",
            "/k1",
            "/k2",
            "/shape",
            "/tone",
            "/shape/k0",
            "/shape/k1",
            "/shape/k2",
            "/tone/k0",
            "/tone/k1",
        )
    }


def test_the_guide_lists_all_metrics_and_extractors() -> None:
    page = (Path(__file__).parents[3] / "docs" / "guide" / "metrics.md").read_text(encoding="utf-8")
    named = {s.name for s in get_registry().components() if s.plugin == "anyloom_metrics"}
    assert {name for name in named if f"`{name}`" not in page} == set()


def test_samples_of_one_subject_are_alike_in_the_standard_error() -> None:
    once = [pair(sound(n), sound(n + 50), number=n, subject=f"s{n}") for n in range(4)]
    thrice = [pair(sound(n), sound(n + 50), number=(n, i), subject=f"s{n}") for n in range(4) for i in range(3)]
    first, second = metric("log-spectral-distance"), metric("log-spectral-distance")
    first.update(once)
    second.update(thrice)
    assert second.standard_errors() == pytest.approx(first.standard_errors()), "copies add nothing"
    alone = metric("log-spectral-distance")
    alone.update([replace(e, sample=replace(e.sample, provenance={"subject": "s"})) for e in once])
    assert alone.standard_errors() == {}


def test_sounds_of_very_different_length_are_flagged() -> None:
    short = replace(sound(1), data=sound(1).tensor()[:, :4000])
    measure = metric("log-spectral-distance")
    found = values(measure, [pair(short, sound(2), n=1), pair(sound(1), sound(2), n=2)])
    assert (found["edit/count"], found["edit/flagged"], found["edit/compared"]) == (2, 0, 0.75)
    assert measure.flags()["edit/distance"][0].startswith("1 of 2 pairs differ in length")


def test_a_value_that_some_samples_lack_is_left_out_and_flagged(tmp_path: Path) -> None:
    from anyloom_metrics.tiny_extractors import write_clip

    extractor = {"name": "clip-joint", "weights": str(write_clip(tmp_path))}
    measure = metric("clip-score", extractor=extractor)
    found = values(measure, [*edits(picture)[:3], *edits(picture, references=("a cat",))[3:]])
    assert "edit/ref_score" not in found
    assert measure.flags()["edit/ref_score"] == ["left out: 3 of 5 scored samples do not have it"]


def test_lpips_of_bytes_equals_lpips(tmp_path: Path) -> None:
    """lpips.npz, lpips_normalize01: 1e-5."""
    from anyloom.storage.tensors import write_tensors
    from anyloom_metrics.extractors.perceptual import PerceptualNetwork
    from metric_golden import fan_in, golden, seeded

    g = golden("lpips")
    backbone = seeded(g["backbone_keys"], lambda key, n: np.float32(0.05) * n if n.ndim == 1 else fan_in(n))
    state = {k: v for k, v in PerceptualNetwork().state_dict().items() if k.startswith("scaling_layer.")}
    state |= {f"net.{k}": v for k, v in backbone.items()}
    state |= {f"lin{n}.model.1.weight": g[f"lin{n}"][None, :, None, None] for n in range(5)}
    write_tensors(state, tmp_path / "lpips.safetensors")
    pairs = [
        pair(Media("image", a), Media("image", b), n=i)
        for i, (a, b) in enumerate(zip(g["img0_uint8"], g["img1_uint8"]))
    ]
    measure = metric("lpips", weights=str(tmp_path / "lpips.safetensors"))
    measure.update(pairs)
    assert [s.values["lpips"] for s in measure.scores()] == pytest.approx(g["lpips_normalize01"].tolist(), abs=1e-5)


def test_clips_are_judged_frame_by_frame(tmp_path: Path) -> None:
    from anyloom_metrics.metrics.looking import Looking
    from anyloom_metrics.tiny_extractors import write_clip

    extractor = {"name": "clip-joint", "weights": str(write_clip(tmp_path))}
    one = pair(clip(1), clip(2), prompt="a red cat")
    found = values(metric("clip-frame-text", extractor=extractor), [one])
    looking, device = Looking(extractor, "image"), torch.device("cpu")
    frames = torch.stack(looking.media([Media("image", f) for f in clip(1).tensor()], device))[:, 0]
    expected = torch.cosine_similarity(frames, looking.texts(["a red cat"], device)).mean()
    assert found["edit/alignment"] == pytest.approx(float(expected), abs=1e-6)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("frechet-distance", {"modality": "image"}),
        ("image-alignment", {}),
        ("text-media-retrieval", {}),
    ],
)
def test_missing_weights_are_found_before_anything_is_generated(name: str, options: dict[str, Any]) -> None:
    tiny = {"name": "dino", "hidden_size": 12, "layers": 1, "heads": 2, "weights": "nowhere.safetensors"}
    with pytest.raises(CheckpointError, match="no weights"):
        metric(name, extractor=tiny, **options).prepare(None)
    with pytest.raises(CheckpointError, match="no weights"):
        metric("lpips", weights="nowhere.safetensors").prepare(None)


def test_features_are_not_taken_for_logits() -> None:
    pooled = {"name": "cnn14", "thin": 32}
    with pytest.raises(ConfigError, match="needs logits"):
        metric("paired-kl-divergence", extractor=pooled)
    with pytest.raises(ConfigError, match="needs logits"):
        metric("inception-score", extractor=pooled, modality="audio")


def test_long_names_of_groups_are_refused() -> None:
    with pytest.raises(ConfigError, match="shorter names"):
        metric("psnr").update([pair(picture(1), picture(2), family="x" * 500)])


def test_a_protocol_that_is_not_followed_to_the_letter_says_so(tmp_path: Path) -> None:
    from anyloom_metrics.tiny_extractors import write_clip

    extractor = {"name": "clip-joint", "weights": str(write_clip(tmp_path))}
    own = metric("clipsim", extractor=extractor)
    theirs = metric("clipsim", extractor={**extractor, "resize": "instruct-pix2pix"})
    assert own.contract().preset == f"{theirs.contract().preset}, but resized as pillow"
    assert metric("log-spectral-distance", offset=1120).contract().preset == "audioldm_eval@4d6d18e"
