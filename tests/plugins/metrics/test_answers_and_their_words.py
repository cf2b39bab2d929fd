"""Answers against words and inputs: alignment, CLIP scores, retrieval, captions, structure."""

from __future__ import annotations

import math
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tests.plugins.metrics.scored import FLAT, Flat, metric, pair, values
from torch import Tensor

from anyloom.conversation import Conversation, Media, Message
from anyloom.errors import ConfigError
from anyloom.interfaces import Evaluated, Sample
from anyloom_metrics import functional as F
from anyloom_metrics.tiny_metrics import edits, picture, replies


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


def test_features_are_not_taken_for_logits() -> None:
    pooled = {"name": "cnn14", "thin": 32}
    with pytest.raises(ConfigError, match="needs logits"):
        metric("paired-kl-divergence", extractor=pooled)
    with pytest.raises(ConfigError, match="needs logits"):
        metric("inception-score", extractor=pooled, modality="audio")
