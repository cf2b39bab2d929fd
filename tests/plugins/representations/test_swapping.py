"""One model, one key changed: every representation trains, generates, saves, loads and answers alike."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import VQModel

from anyloom import AnyToAnyModel, Conversation, Message
from anyloom.conversation import Media
from anyloom.errors import CheckpointError
from anyloom.interfaces import Sample
from anyloom_codes.autoencoder import VQSizes, build_vq, codes_of, pictures_of, require_sizes
from anyloom_codes.tiny import SIZES
from parts import model_options, picture

REPRESENTATIONS: dict[str, dict[str, Any]] = {
    "autoregressive": {},
    "parallel": {},
    "queries": {"queries": 4, "width": 16, "heads": 2, "layers": 1},
    "edit": {"compare": {"products_dim": 8}, "change": {"gated_units": 4}},
    "codes": {},
}


def build(tokenizer: Path, name: str) -> AnyToAnyModel:
    torch.manual_seed(4)
    options = model_options(tokenizer, modalities=("image",))
    image = options["modalities"]["image"]
    image["representation"] = {"name": name, **REPRESENTATIONS[name]}
    if name == "codes":
        options["encoders"]["eye"] = {"name": "vq", "sizes": SIZES}
        options["decoders"] = {"brush": {"name": "vq", "sizes": SIZES}}
        image["decoder"] = "brush"
    else:
        options["encoders"]["eye"] |= {"tokens": 2}
    return AnyToAnyModel.from_config({"model": options})


PAIRS = [Conversation([Message("user", f"{w} heart"), Message("assistant", [picture(n)])]) for n, w in enumerate("ab")]


@pytest.mark.parametrize("name", REPRESENTATIONS)
def test_it_trains_generates_saves_and_loads(tokenizer_folder: Path, tmp_path: Path, name: str) -> None:
    model = build(tokenizer_folder, name).train()
    samples = [Sample(c, "t", key=str(n)) for n, c in enumerate(PAIRS)]
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=5e-3)
    losses = []
    for _ in range(30):
        optimizer.zero_grad()
        terms = model(model.collator()(samples)).terms
        terms["feature/image"].mean.backward()
        optimizer.step()
        losses.append(terms["feature/image"].mean.item())
    assert losses[-1] < 0.7 * losses[0]
    model.eval()
    prompts = [c.prompt() for c in PAIRS]
    answers = model.generate(prompts, plan=("image",), seed=[1, 2])
    model.save_pretrained(tmp_path / "saved")
    again = AnyToAnyModel.from_pretrained(tmp_path / "saved", trust=True)
    for prompt, seed, answer in zip(prompts, (1, 2), answers):
        alone = again.generate(prompt, plan=("image",), seed=seed)
        assert isinstance(alone, Message)
        torch.testing.assert_close(alone.media[0].features, answer.media[0].features, atol=1e-4, rtol=1e-4)
        assert (name == "codes") == (alone.media[0].data is not None)


@pytest.mark.parametrize("name", REPRESENTATIONS)
def test_a_session_equals_recomputing(tokenizer_folder: Path, name: str) -> None:
    model = build(tokenizer_folder, name).eval()
    session = model.session(plan=("image", "text"), max_new_tokens=3)
    for n in range(3):
        answer = session.say("make it blue ", picture(n))
        fresh = model.session(session.messages[:-2], plan=("image", "text"), max_new_tokens=3)
        again = fresh.say("make it blue ", picture(n))
        assert again.text == answer.text
        torch.testing.assert_close(again.media[0].features, answer.media[0].features, atol=1e-4, rtol=1e-3)


def test_codes_are_those_of_the_autoencoder_and_give_its_pictures() -> None:
    vq = build_vq(VQSizes(**SIZES)).eval()
    assert isinstance(vq, VQModel)
    pictures = torch.rand(2, 3, 16, 16) * 2 - 1
    codes = codes_of(vq, pictures)
    assert codes.shape == (2, 16)
    with torch.no_grad():
        expected = vq(pictures).sample
    torch.testing.assert_close(pictures_of(vq, codes, 4), expected, atol=1e-5, rtol=1e-4)


def test_nothing_of_a_true_feature_enters_the_sequence_of_queries(tokenizer_folder: Path) -> None:
    model = build(tokenizer_folder, "queries").eval()
    embedded = []
    for n in (0, 5):
        target = Conversation([Message("user", "a heart"), Message("assistant", [picture(n)])])
        batch = model.collator()([Sample(target, "t")])
        encoded = {k: model.encode(k, m) for k, m in batch.media.items()}
        embedded.append(model.inputs(batch, model.place(batch, encoded)).vectors)
    assert torch.equal(embedded[0], embedded[1])  # type: ignore[arg-type]


def test_codes_are_drawn_by_the_answers_seed(tokenizer_folder: Path) -> None:
    model = build(tokenizer_folder, "codes").eval()

    def made(seed: int) -> torch.Tensor:
        answer = model.generate(PAIRS[0].prompt(), plan=("image",), seed=seed)
        assert isinstance(answer, Message)
        medium: Media = answer.media[0]
        assert medium.features is not None
        assert medium.tensor().shape == (3, 16, 16)
        return medium.features

    assert torch.equal(made(1), made(1))
    assert not torch.equal(made(1), made(2))


@pytest.mark.parametrize("text", ["<html>", "[3]", "[" * 100_000])
def test_a_broken_record_of_sizes_is_one_clear_error(tmp_path, text):
    (tmp_path / "config.json").write_text(text, encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"config\.json: the file"):
        require_sizes(VQSizes(**SIZES), str(tmp_path))
