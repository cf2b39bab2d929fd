"""Metrics of text against the golden files and other libraries."""

from __future__ import annotations

import shutil

import pytest
from hypothesis import given
from hypothesis import strategies as st
from torchmetrics.functional.text import word_error_rate

from anyloom.errors import ConfigError, MediaError
from anyloom_metrics import functional as F
from anyloom_metrics.functional.vqa import normalised_answer
from metric_golden import golden


def test_caption_scores_equal_coco() -> None:
    """captions_coco.npz: 1e-9."""
    g = golden("captions_coco")
    names = list(g["gts"])
    found = F.caption_scores([g["res"][n][0] for n in names], [g["gts"][n] for n in names])
    assert found.bleu == pytest.approx(g["bleu"].tolist(), abs=1e-9)
    assert (found.rouge_l, found.cider) == pytest.approx((g["rouge_l"], g["cider"]), abs=1e-9)
    assert found.rouge_l_each == pytest.approx(g["rouge_per"].tolist(), abs=1e-9)
    assert found.cider_each == pytest.approx(g["cider_per"].tolist(), abs=1e-9)
    assert found.bleu4_each == pytest.approx(g["bleu4_per"].tolist(), abs=1e-9)


def test_words_of_captions_follow_the_treebank_where_no_brackets_are() -> None:
    """captions_coco.npz, ptb_in and ptb_out: equal but for the names that brackets get there."""
    g = golden("captions_coco")
    expected = [text for texts in g["ptb_out"].values() for text in texts]
    given_texts = [entry["caption"] for entries in g["ptb_in"].values() for entry in entries]
    found = [F.caption_words(text) for text in given_texts]
    assert found[0] == expected[0].replace("-lrb- ", "").replace("-rrb- ", "")
    assert found[1] == expected[1]


@pytest.mark.skipif(shutil.which("java") is None, reason="the Stanford tokeniser is a Java program")
def test_stanford_words_equal_coco() -> None:
    """captions_coco.npz, ptb_in and ptb_out: exactly."""
    g = golden("captions_coco")
    expected = [text for texts in g["ptb_out"].values() for text in texts]
    assert F.stanford_words([entry["caption"] for entries in g["ptb_in"].values() for entry in entries]) == expected
    assert F.stanford_words(["Two\nlines.", "", "naïve café"]) == ["two lines", "", "naïve café"]


def test_stanford_words_need_java(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ConfigError, match="needs Java"):
        F.stanford_words(["a"])


def test_pictures_without_references_are_an_error() -> None:
    with pytest.raises(MediaError, match="no reference caption"):
        F.caption_scores(["a"], [[]])
    with pytest.raises(MediaError, match="do not pair"):
        F.caption_scores(["a", "b"], [["a"]])


def test_vqa_accuracy_equals_lmms_eval() -> None:
    """vqa_accuracy.npz: exactly."""
    g = golden("vqa_accuracy")
    assert [normalised_answer(p) for p in g["preds"]] == g["processed_pred"]
    found = [F.vqa_accuracy(p, a) for p, a in zip(g["preds"], g["answers"])]
    assert found == pytest.approx(g["acc"].tolist(), abs=1e-12)
    assert sum(found) / len(found) == pytest.approx(g["mean"], abs=1e-12)
    with pytest.raises(MediaError, match="too few"):
        F.vqa_accuracy("yes", [])


@given(st.lists(st.text("ab ", max_size=12), min_size=1, max_size=4), st.text("ab ", max_size=12))
def test_word_errors_equal_torchmetrics(predicted: list[str], reference: str) -> None:
    counts = [F.word_errors(p, reference + " c") for p in predicted]
    expected = word_error_rate(predicted, [reference + " c"] * len(predicted))
    assert sum(c.edits for c in counts) / sum(c.words for c in counts) == pytest.approx(float(expected), abs=1e-6)


@pytest.mark.parametrize(
    ("made", "wanted", "expected"),
    [
        (["text", "image"], ["text", "image"], (1, 1, 1, 1, 1)),
        (["image", "text"], ["text", "image"], (1, 1, 0, 1, 0.5)),
        (["text", "image", "image"], ["text", "image"], (1, 0, 0, 0.8, 0.8)),
        (["text"], ["text", "image", "audio"], (0, 0, 0, 0.5, 0.5)),
        ([], ["image"], (0, 0, 0, 0, 0)),
        ([], [], (1, 1, 1, 1, 1)),
    ],
)
def test_structure_of_answers(made: list[str], wanted: list[str], expected: tuple[float, ...]) -> None:
    assert F.structure_of(made, wanted) == pytest.approx(expected)
