from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from anyloom import AnyToAnyModel
from anyloom.conversation import Conversation, Message
from anyloom.evaluation import measure as module
from anyloom.interfaces import Sample
from parts import image_decoder_options, model_options, picture, sound


class Metric:
    update_called = True
    needs_media = False

    def __init__(self) -> None:
        self.prepared: list[Any] = []
        self.reset()

    def reset(self) -> None:
        self.seen: list[str] = []

    def prepare(self, model: Any) -> None:
        self.prepared.append(model)

    def wants(self, sample: Sample) -> bool:
        return sample.task != "unwanted"

    def update(self, samples: list[Sample]) -> None:
        self.seen += [s.task for s in samples]

    def compute(self) -> dict[str, float]:
        return {"seen": len(self.seen)}


def test_batches_are_answered_in_order_with_one_seed_and_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[list[str], int]] = []

    def update(model: Any, samples: Any, metrics: Any, *, seed: int) -> None:
        asked.append(([s.task for s in samples], seed))
        metrics["m"].update(samples)

    monkeypatch.setattr(module, "update", update)
    samples = [Sample(Conversation([Message("user", ["x"])]), task=t) for t in ("a", "unwanted", "b", "c")]
    metric, shares = Metric(), []
    model: Any = "model"
    for _ in range(2):
        metrics: Any = {"m": metric}
        found = module.measure(model, samples, metrics, seed=5, batch_size=2, advance=shares.append)
        assert found == {"m/seen": 3.0}
    assert asked == [(["a", "b"], 5), (["c"], 5)] * 2
    assert shares == [0.0, 2 / 3, 1.0] * 2
    assert metric.prepared == [model, model]


def test_a_sample_is_answered_alike_wherever_it_stands_and_whoever_asks(tokenizer_folder: Path) -> None:
    options = model_options(tokenizer_folder)
    options["decoders"] = {"brush": image_decoder_options()}
    options["modalities"]["image"]["decoder"] = "brush"
    model = AnyToAnyModel.from_config({"model": options}).eval()
    target = Message("assistant", ["here: ", picture(1), sound(2), picture(3)])
    samples = [
        Sample(Conversation([Message("user", text), target]), "t", key=text) for text in ("hello", "and", "a bell")
    ]
    together = module.answer_samples(model, samples, seed=3, decode=True)
    backwards = module.answer_samples(model, samples[::-1], seed=3, decode=True)[::-1]
    alone = [module.answer_samples(model, [s], seed=3, decode=True)[0] for s in samples]
    for one, two, three in zip(together, backwards, alone):
        assert [m.modality for m in one.answer.media] == ["image", "audio", "image"]
        for a, b, c in zip(one.answer.media, two.answer.media, three.answer.media):
            torch.testing.assert_close(a.features, b.features, atol=1e-5, rtol=1e-4)
            torch.testing.assert_close(a.features, c.features, atol=1e-5, rtol=1e-4)
        for a, b, c in zip(*([m for m in e.answer.media if m.modality == "image"] for e in (one, two, three))):
            torch.testing.assert_close(a.tensor(), b.tensor(), atol=1e-4, rtol=1e-3)  # the noise is the sample's own
            torch.testing.assert_close(a.tensor(), c.tensor(), atol=1e-4, rtol=1e-3)
        assert one.answer.text == two.answer.text == three.answer.text


def test_earlier_answers_are_the_models_own_where_a_sample_says_so(tokenizer_folder: Path) -> None:
    options = model_options(tokenizer_folder, modalities=("image",), decoders={"brush": image_decoder_options()})
    options["modalities"]["image"]["decoder"] = "brush"
    model = AnyToAnyModel.from_config({"model": options}).eval()
    rounds = [Message("user", ["make it blue", picture(1)]), Message("assistant", [picture(2)])]
    last = [Message("user", "turn it upside down"), Message("assistant", [picture(3)])]
    right = Sample(Conversation([*rounds, *last]), "t", key="a")
    own = Sample(Conversation([*rounds, *last]), "t", {"own_history": True}, key="a")
    single = Sample(Conversation(rounds), "t", {"own_history": True}, key="b")
    given, made, alone = module.answer_samples(model, [right, own, single], seed=3, decode=True)
    assert given.sample == right
    assert alone.sample == single
    first = made.sample.conversation.messages[1].media[0]
    assert first.has_data
    assert first.key != "picture-2"
    assert made.sample.conversation.messages[3] == last[1], "the target stays"
    shown = Sample(Conversation([rounds[0], made.sample.conversation.messages[1], *last]), "t", key="a")
    again = module.answer_samples(model, [shown], seed=3, decode=True)[0]
    torch.testing.assert_close(made.answer.media[0].features, again.answer.media[0].features, atol=1e-5, rtol=1e-4)
    assert not torch.equal(made.answer.media[0].features, given.answer.media[0].features)


def test_samples_that_ask_the_same_draw_their_own_noise(tokenizer_folder: Path) -> None:
    options = model_options(tokenizer_folder, modalities=("image",))
    options["decoders"] = {"brush": image_decoder_options()}
    options["modalities"]["image"]["decoder"] = "brush"
    model = AnyToAnyModel.from_config({"model": options}).eval()
    talk = Conversation([Message("user", "hello"), Message("assistant", [picture(1)])])
    one, two = module.answer_samples(model, [Sample(talk, "t", key=key) for key in "ab"], seed=3, decode=True)
    (first,), (second,) = one.answer.media, two.answer.media
    torch.testing.assert_close(first.features, second.features, atol=1e-5, rtol=1e-4)
    assert float((first.tensor() - second.tensor()).abs().max()) > 1e-2
