"""In-context metrics against references, closed forms and hand-made galleries."""

from __future__ import annotations

import json
import math
import pickle
import wave
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torchmetrics.retrieval import RetrievalHitRate

from anyloom.building import build
from anyloom.conversation import Conversation, Media, Message
from anyloom.discovery import get_registry
from anyloom.errors import ConfigError
from anyloom.interfaces import Condition, DatasetBuilder, Encoder, Evaluated, FeatureSpace, Metric, Sample
from anyloom.media import read_media
from anyloom_incontext.answer_features import answer_features
from anyloom_incontext.caption_words import CaptionWords
from anyloom_incontext.feature_error import FeatureError
from anyloom_incontext.features import FeatureTable
from anyloom_incontext.picture_choice import PictureChoice
from anyloom_incontext.provenance import edit_of
from anyloom_incontext.ranking import chance_of_hit, squared_distances, standing
from anyloom_incontext.retrieval import Retrieval
from anyloom_incontext.spectral_distance import SpectralDistance, log_spectral_distance

GOLDEN = Path(__file__).parents[2] / "golden"
PLACES = {"A": (0.0, 0.0), "A2": (0.0, 1.0), "B": (5.0, 0.0), "B2": (5.0, 1.0), "C": (6.0, 0.0), "far": (5.0, 9.0)}


class PointEncoder(Encoder):
    """The media's own two numbers are its feature."""

    seen = 0

    def feature_space(self, modality: str) -> FeatureSpace:
        return FeatureSpace(name="plane", dim=2)

    def preprocess(self, media: Media) -> Tensor:
        return media.tensor()

    def forward(self, inputs: Tensor, modality: str) -> Tensor:
        type(self).seen += len(inputs)
        return inputs[:, None]


class Places(DatasetBuilder):
    """Knows media by key."""

    def build(self, split: str, epoch: int = 0) -> list[Sample]:
        return []

    def media(self, key: str) -> Media:
        return point(key)


class PlacesAndMore(Places):
    def gallery(self, modality: str) -> list[Media]:
        return [point("B2"), Media(modality, torch.tensor([5.0, 0.99]), key="elsewhere")]


class PlacesInStates(Places):
    def gallery(self, modality: str, state: str = "") -> list[Media]:
        places = {"": (5.0, 0.0), "@up": (5.0, 0.95)}
        return [Media(modality, torch.tensor(places[state]), key=f"other{state}")]

    def state(self, key: str) -> str:
        return "@up" if key.endswith("2") else ""


def point(key: str) -> Media:
    return Media("image", torch.tensor(PLACES[key]), key=key)


def model(encoder: Encoder | None = None) -> Any:
    encoder = encoder or PointEncoder(PointEncoder.Config())
    return SimpleNamespace(encoder=lambda modality: encoder, device=torch.device("cpu"))


def edit(*, k: int = 1, target: str = "B2", **provenance: Any) -> Sample:
    pairs: list[Media] = [point(n) for _ in range(k) for n in ("A", "A2")]
    messages = [Message("user", [*pairs, "do the same to", point("B")]), Message("assistant", [point(target)])]
    facts = {"family": "up", "k": k, "candidates": ("B", "B2", "C", "far"), **provenance}
    return Sample(Conversation(messages), "exemplar", facts)


def answer(sample: Sample, *numbers: float) -> Evaluated:
    media = [Media("image", features=torch.tensor([numbers]))] if numbers else []
    return Evaluated(sample, Message("assistant", media))


def measured(metric: Metric, *answers: Evaluated) -> dict[str, float]:
    metric.prepare(model())
    metric.update(list(answers))
    return {k: float(v) for k, v in metric.compute().items()}


def retrieval(dataset: str = "Places", **options: Any) -> Retrieval:
    name = f"{__name__}.{dataset}"
    return Retrieval(Retrieval.Config(dataset={"name": name}, **options))


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(
        sys.modules,
        __name__,
        SimpleNamespace(Places=Places, PlacesAndMore=PlacesAndMore, PlacesInStates=PlacesInStates),
    )


def test_ranks_equal_the_golden_recalls() -> None:
    golden = np.load(GOLDEN / "retrieval.npz", allow_pickle=False)
    distances, others = -torch.from_numpy(golden["sim"]), ~torch.eye(60, dtype=torch.bool)
    closer, ties = standing(distances, distances.diagonal(), others)
    for k, recall in json.loads(str(golden["recall_at"])).items():
        assert chance_of_hit(closer, ties, int(k)).mean() == pytest.approx(recall, abs=1e-6)
    assert float((closer + 1).double().mean()) == pytest.approx(float(golden["mean_rank_1based"]))


def test_ranks_equal_torchmetrics() -> None:
    queries, candidates = torch.randn(20, 7), torch.randn(9, 7)
    distances, target = squared_distances(queries, candidates), torch.randint(9, (20,))
    torch.testing.assert_close(distances, torch.cdist(queries, candidates).square(), atol=1e-4, rtol=1e-4)
    is_target = torch.nn.functional.one_hot(target, 9).bool()
    closer, ties = standing(distances, distances[is_target], ~is_target)
    for k in (1, 3):
        reference = RetrievalHitRate(top_k=k)
        rows = torch.arange(20)[:, None].expand(20, 9)
        reference.update(-distances.flatten(), is_target.flatten(), indexes=rows.flatten())
        assert chance_of_hit(closer, ties, k).mean() == pytest.approx(float(reference.compute()))


def test_ties_are_broken_at_random() -> None:
    closer, ties = standing(torch.zeros(1, 9), torch.zeros(1))
    assert [float(chance_of_hit(closer, ties, k)) for k in (1, 5, 10, 20)] == pytest.approx([0.1, 0.5, 1.0, 1.0])


def test_right_copied_and_missing_answers() -> None:
    right, copied, none = answer(edit(), 5.0, 0.9), answer(edit(), 5.0, 0.1), answer(edit())
    found = measured(retrieval(), right, copied, none)
    assert found["exemplar/count"] == found["exemplar/up/count"] == found["exemplar/k1/count"] == 3
    assert found["exemplar/candidates"] == 4
    assert found["exemplar/hard_top1"] == pytest.approx(1 / 3)
    assert found["exemplar/hard_no_input_top1"] == pytest.approx(2 / 3), "without B, the copy is nearest to B2"
    assert found["exemplar/hard_top5"] == pytest.approx(2 / 3)
    assert found["exemplar/hard_top1_copying"] == 0
    assert found["exemplar/hard_no_input_top1_copying"] == pytest.approx(0.5), "B2 and C are as near to B"
    assert found["exemplar/hard_top1_arithmetic"] == 1, "B + A2 - A is B2"
    assert "exemplar/copy_rate" not in found, "not every sample has an answer"
    assert measured(retrieval(), right, copied)["exemplar/copy_rate"] == pytest.approx(0.5)


def test_arithmetic_takes_the_mean_of_the_pairs_and_needs_one_in_every_sample_of_a_group() -> None:
    found = measured(retrieval(), answer(edit(k=1), 5, 1), answer(edit(k=2), 5, 1), answer(edit(k=0), 5, 1))
    assert "exemplar/hard_top1_arithmetic" not in found
    assert found["exemplar/k1/hard_top1_arithmetic"] == found["exemplar/k2/hard_top1_arithmetic"] == 1
    assert found["exemplar/k0/hard_top1"] == 1
    assert found["exemplar/up/k0/count"] == 1
    pairs = (("A", "A2"), ("far", "A2"))  # (0, 1) and (-5, -8): B + mean is (2.5, -3.5), nearest to B
    spread = edit(k=2, examples=pairs, candidates=("B", "B2", "C", "far", "A", "A2"))
    found = measured(retrieval(), answer(spread, 5, 1))
    assert found["exemplar/hard_top1_arithmetic"] == 0


def test_full_gallery_adds_other_targets_and_the_data_sets_own() -> None:
    near_c, other = answer(edit(candidates=("B", "B2")), 6.0, 0.6), answer(edit(target="C"), 6.0, 0.0)
    found = measured(retrieval(), near_c, other)
    assert found["exemplar/hard_top1"] == 1
    assert found["exemplar/full_top1"] == pytest.approx(0.5), "C is the other sample's target"
    found = measured(retrieval("PlacesAndMore"), answer(edit(), 5.0, 0.98))
    assert (found["exemplar/hard_top1"], found["exemplar/full_top1"], found["exemplar/full_top5"]) == (1, 0, 1)


def test_the_gallery_may_be_in_the_state_of_the_target() -> None:
    asked = [answer(edit(), 5.0, 0.9), answer(edit(target="C"), 5.4, 0.0), answer(edit(target="C"), 5.9, 0.0)]
    plain = retrieval("PlacesInStates")
    measured(plain, *asked)
    assert [s.values["full_top1"] for s in plain.scores()] == [1, 0, 1], "(5, 0) is nearer to (5.4, 0) than C"
    alike = retrieval("PlacesInStates", alike=True)
    measured(alike, *asked)
    assert [s.values["full_top1"] for s in alike.scores()] == [0, 0, 1], "(5, 0.95) is nearer to (5, 0.9) than B2"
    with pytest.raises(ConfigError, match="state"):
        retrieval("Places", alike=True)


def test_media_are_encoded_once_and_kept_for_the_same_frozen_encoder() -> None:
    PointEncoder.seen = 0
    metric, shared = retrieval(), model()
    metric.prepare(shared)
    metric.update([answer(edit(), 5, 1), answer(edit(), 5, 1)])
    metric.reset()
    metric.prepare(SimpleNamespace(encoder=shared.encoder, device=shared.device))  # type: ignore[arg-type]
    metric.update([answer(edit(), 5, 1)])
    other = FeatureError(FeatureError.Config())
    other.prepare(shared)
    other.update([answer(edit(), 5, 1)])
    assert PointEncoder.seen == len({"A", "A2", "B", "B2", "C", "far"})
    metric.prepare(model())
    metric.update([answer(edit(), 5, 1)])
    assert PointEncoder.seen == 12


def test_what_counts() -> None:
    caption = Sample(Conversation([Message("user", [point("A")]), Message("assistant", "a")]), "caption")
    bare = Sample(edit().conversation, "exemplar", {})
    assert [retrieval().wants(s) for s in (edit(), caption, bare)] == [True, False, False]
    assert not retrieval(tasks=("other",)).wants(edit())
    assert not retrieval(modality="audio").wants(edit())
    feature, words = FeatureError(FeatureError.Config()), CaptionWords(CaptionWords.Config())
    assert [feature.wants(s) for s in (edit(), caption)] == [True, False]
    assert [words.wants(s) for s in (edit(), caption)] == [False, True]


def test_media_named_by_unknown_keys_are_an_error() -> None:
    with pytest.raises(ConfigError, match="not in the conversation"):
        edit_of(edit(examples=(("A", "nowhere"),)), "image")


@pytest.mark.parametrize(("named", "found"), [("A", "A"), ("notes.jsonl:3", "B"), (None, "B")])
def test_source_is_what_is_named_if_it_is_there_else_the_last_of_the_prompt(named: str | None, found: str) -> None:
    taken = edit_of(edit(source=named), "image")
    assert taken is not None
    assert taken.source is not None
    assert taken.source.key == found


def test_state_is_pickled_merged_and_reset() -> None:
    first, second, both = retrieval(), retrieval(), retrieval()
    answers = [answer(edit(), 5.0, 0.9), answer(edit(k=2), 5.0, 0.1)]
    expected = measured(both, *answers)
    measured(first, answers[0])
    measured(second, answers[1])
    copy = pickle.loads(pickle.dumps(first))
    assert {k: float(v) for k, v in copy.compute().items()} == pytest.approx(measured_again(first))
    for name in first._defaults:  # what a gathering of two processes gives
        setattr(first, name, torch.cat([*getattr(first, name), *getattr(second, name)]))
    assert measured_again(first) == pytest.approx(expected)
    both.reset()
    assert both.names == []


def measured_again(metric: Metric) -> dict[str, float]:
    metric._computed = None
    return {k: float(v) for k, v in metric.compute().items()}


def test_feature_error_is_relative_to_copying() -> None:
    metric = FeatureError(FeatureError.Config())
    found = measured(metric, answer(edit(), 5.0, 0.5), answer(edit(), 5.0, 1.0))
    assert found["exemplar/error"] == pytest.approx(0.125 / 2)
    assert found["exemplar/error_copying"] == pytest.approx(0.5)
    assert found["exemplar/relative"] == pytest.approx(0.125)
    assert found["exemplar/relative_copying"] == 1
    cosine = torch.nn.functional.cosine_similarity(torch.tensor([5.0, 0.0]), torch.tensor([5.0, 1.0]), dim=0)
    assert found["exemplar/cosine_copying"] == pytest.approx(float(cosine))
    drawn = Sample(Conversation([Message("user", "draw"), Message("assistant", [point("B")])]), "draw")
    found = measured(FeatureError(FeatureError.Config()), answer(drawn, 4.0, 0.0))
    assert found["draw/error"] == pytest.approx(0.5)
    assert "draw/relative" not in found


def test_spectral_distance_equals_the_golden_one() -> None:
    golden = np.load(GOLDEN / "audioldm_lsd.npz", allow_pickle=False)
    made, real = (torch.from_numpy(golden[n] / 32768.0).float() for n in ("gen_pcm16", "ref_pcm16"))
    found = log_spectral_distance(made, real, size=int(golden["n_fft"]), hop=int(golden["hop_length"]))
    assert found.tolist() == pytest.approx(golden["lsd_raw"].tolist(), abs=1e-5)


def sound(wave: Tensor, rate: float = 16000.0) -> Media:
    return Media("audio", wave[None], meta={"sample_rate": rate})


def test_spectral_distance_of_answers() -> None:
    wave = torch.randn(8000)
    prompt = Message("user", [sound(wave), "ten times louder"])
    sample = Sample(Conversation([prompt, Message("assistant", [sound(10 * wave)])]), "louder")
    metric = SpectralDistance(SpectralDistance.Config())
    assert metric.needs_media
    assert metric.wants(sample)
    metric.update([Evaluated(sample, Message("assistant", [sound(3.1622776 * wave)]))])
    found = {k: float(v) for k, v in metric.compute().items()}
    assert found["louder/distance"] == pytest.approx(1.0, abs=1e-3)
    assert found["louder/distance_copying"] == pytest.approx(2.0, abs=1e-3)
    assert found["louder/relative"] == pytest.approx(0.5, abs=1e-3)
    metric.reset()
    metric.update([Evaluated(sample, Message("assistant", [sound(gain * wave)])) for gain in (1.5, 2.0, 8.0)])
    assert float(metric.compute()["louder/copy_rate"]) == pytest.approx(2 / 3)
    metric.reset()
    metric.update([Evaluated(sample, Message("assistant", "no sound"))])
    assert float(metric.compute()["louder/distance"]) > 2


def wav(path: Path, samples: Any) -> Path:
    """A 16-bit file at 16 kHz, written by the standard library."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
        file.writeframes(np.asarray(samples, "<i2").tobytes())
    return path


def test_sounds_that_were_read_from_files_are_not_silence(tmp_path: Path) -> None:
    """Half the amplitude is a quarter of the power, everywhere: log10(4), whatever the sound."""
    real = np.random.default_rng(0).integers(-8000, 8000, 16000) * 2
    target, half = wav(tmp_path / "target.wav", real), wav(tmp_path / "half.wav", real // 2)
    conversation = Conversation([Message("user", "play"), Message("assistant", [read_media(target)])])
    for lazy in (False, True):
        metric = SpectralDistance(SpectralDistance.Config())
        metric.update([Evaluated(Sample(conversation, "play"), Message("assistant", [read_media(half, lazy=lazy)]))])
        assert float(metric.compute()["play/distance"]) == pytest.approx(2 * math.log10(2), abs=2e-4)


def test_pictures_that_are_still_in_their_files_are_looked_at() -> None:
    lazy = Media("image", loader=lambda: torch.tensor(PLACES["B"]), key="made")
    asked = edit()
    known = edit_of(asked, "image", point)
    assert known is not None
    one = Evaluated(asked, Message("assistant", [lazy]))
    seen = answer_features("decoded", FeatureTable(model(), "image"), [(one, known)], None)
    assert [None if f is None else f.tolist() for f in seen] == [[5.0, 0.0]]


def test_sounds_at_another_rate_are_resampled() -> None:
    time = torch.arange(16000) / 16000
    low, high = torch.sin(2 * torch.pi * 440 * time), torch.sin(2 * torch.pi * 440 * torch.arange(32000) / 32000)
    sample = Sample(Conversation([Message("user", "play"), Message("assistant", [sound(low)])]), "play")
    metric = SpectralDistance(SpectralDistance.Config())
    metric.update([Evaluated(sample, Message("assistant", [sound(high, 32000.0)]))])
    assert float(metric.compute()["play/distance"]) < 0.15


@pytest.mark.parametrize(
    ("said", "exact", "recall", "tone"),
    [
        ("Waving hand, with medium-dark skin tone!", 1, 1, 1),
        ("fist with dark skin tone", 0, 3 / 6, 0),
        ("waving hand", 0, 2 / 6, 0),
    ],
)
def test_words_of_captions(said: str, exact: float, recall: float, tone: float) -> None:
    target = "waving hand with medium-dark skin tone"
    conversation = Conversation([Message("user", [point("A")]), Message("assistant", target)])
    sample = Sample(conversation, "caption", {"words": {"what": "hand"}})
    pattern = r"((?:medium-)?(?:light|dark)) skin tone"
    metric = CaptionWords(CaptionWords.Config(attributes={"tone": pattern, "style": "(noto|twemoji) style"}))
    metric.update([Evaluated(sample, Message("assistant", said))])
    found = {k: float(v) for k, v in metric.compute().items()}
    assert found["caption/exact"] == exact
    assert found["caption/recall"] == pytest.approx(recall)
    assert found["caption/tone/named"] == tone
    assert found["caption/what/named"] == float("hand" in said.lower())
    assert "caption/style/named" not in found


def test_a_word_is_not_a_part_of_another() -> None:
    sample = Sample(Conversation([Message("assistant", "a dark fist")]), "caption", {"words": {"tone": "dark"}})
    metric = CaptionWords(CaptionWords.Config())
    metric.update([Evaluated(sample, Message("assistant", t)) for t in ("dark", "medium-dark", "darker", "Dark!")])
    assert float(metric.compute()["caption/tone/named"]) == 0.5


@pytest.mark.parametrize("name", ["retrieval", "feature-error", "spectral-distance", "caption-words"])
def test_components_build_and_explain_their_values(name: str) -> None:
    assert get_registry().find("metric", name).package == "anyloom"
    metric = build("metric", name)
    assert metric.measures
    for value in metric.measures.values():
        assert value.title
        assert value.explanation.endswith(".")
        assert value.better in ("higher", "lower")


def test_standard_errors_are_those_of_the_mean_and_of_a_ratio() -> None:
    metric, numbers = FeatureError(FeatureError.Config()), torch.tensor([0.2, 0.5, 0.9, 1.6])
    measured(metric, *(answer(edit(query=i), 5.0, float(x)) for i, x in enumerate(numbers)))
    errors, found = (1 - numbers).square() / 2, metric.standard_errors()
    assert found["exemplar/error"] == pytest.approx(float(errors.std()) / 2, rel=1e-4)
    assert found["exemplar/relative"] == pytest.approx(float(errors.std()) / 2 / 0.5, rel=1e-4), "always the same input"
    assert found["exemplar/relative_copying"] == 0
    unchanged = measured(FeatureError(FeatureError.Config()), answer(edit(target="B"), 5.0, 0.2))
    assert "exemplar/relative" not in unchanged, "copying has no error here"
    single = FeatureError(FeatureError.Config())
    measured(single, answer(edit(), 5.0, 0.2))
    assert single.standard_errors() == {}


def test_scores_are_paired_by_query() -> None:
    metric = retrieval()
    asked = [edit(query=n, k=k) for n in range(2) for k in (0, 1)]
    measured(metric, *(answer(s, 5.0, 0.9 if s.provenance["k"] else 0.1) for s in asked))
    first, second, third, fourth = metric.scores()
    assert first.query == second.query != third.query == fourth.query
    assert [s.values["hard_top1"] for s in (first, second, third, fourth)] == [0, 1, 0, 1]
    assert "hard_top1_arithmetic" not in first.values
    assert second.groups == ("exemplar", "exemplar/up", "exemplar/k1", "exemplar/up/k1")


class Painter:
    """Makes of every feature the same media, the place C, or of far ones itself."""

    def generate(self, condition: Condition, *, seeds: list[int], sampling: Any = None) -> list[Media]:
        features = condition.features
        assert features.shape[1:] == (1, 2)
        assert len(set(seeds)) == len(seeds)
        return [Media("image", torch.tensor(PLACES["C"]) if f[0, 1] < 5 else f[0]) for f in features]


def test_what_the_decoder_makes_is_encoded_again() -> None:
    right = Evaluated(edit(query=0), Message("assistant", [Media("image", torch.tensor([5.0, 0.9]))]))
    wrong = Evaluated(edit(query=1), Message("assistant", [Media("image", torch.tensor([5.0, 0.1]))]))
    metric = retrieval(answer="decoded")
    assert metric.needs_media
    found = measured(metric, right, wrong)
    assert (found["exemplar/hard_top1"], found["exemplar/copy_rate"]) == (0.5, 0.5)

    alone = retrieval(answer="reconstructed")
    assert not alone.needs_media
    whole = SimpleNamespace(**vars(model()), decoder=lambda modality: Painter())
    alone.prepare(whole)  # type: ignore[arg-type]
    alone.update([answer(edit(query=n, target=t)) for n, t in enumerate(("B2", "far", "C"))])
    hits = [s.values["hard_top1"] for s in alone.scores()]
    assert hits == [0, 1, 1]


def test_numbers_of_examples_can_be_chosen() -> None:
    assert [retrieval(examples=(1,)).wants(edit(k=k)) for k in (0, 1, 2)] == [False, True, False]


def test_a_choice_is_the_nearest_picture_of_the_grid() -> None:
    grid = (("A", "A2"), ("B", "B2"))
    facts = {"grid": grid, "chosen": {"given": 1, "inferred": 0}}
    asked = Sample(Conversation([Message("user", "b: "), Message("assistant", [point("B")])]), "inference", facts)
    metric = PictureChoice(PictureChoice.Config(dataset={"name": f"{__name__}.Places"}))
    assert metric.wants(asked)
    assert metric.needs_model
    assert not metric.needs_media
    answers = [answer(asked, 5.0, 0.4), answer(asked, 4.0, 0.9), answer(asked, 1.0, 0.0), answer(asked)]
    found = measured(metric, *answers)
    assert [found[f"inference/{aspect}"] for aspect in ("given", "inferred", "both")] == [0.5, 0.5, 0.25]
    with pytest.raises(ConfigError, match="answer: pixels"):
        metric.prepare(None)
    nameless = PictureChoice(PictureChoice.Config())
    nameless.prepare(model())
    with pytest.raises(ConfigError, match="name the data set"):
        nameless.update([answer(asked, 5.0, 0.4)])
