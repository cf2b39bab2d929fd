"""The medium that is edited goes into the decoder beside the noise: in training and in answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from anyloom import AnyToAnyModel, Conversation, Message
from anyloom.conversation import Media
from anyloom.diffusion.latent_decoder import LatentDiffusionDecoder
from anyloom.interfaces import Condition, Sample
from anyloom.sequence.batch import Batch
from anyloom.sequence.media_targets import TargetCollator
from parts import image_decoder_options, model_options, picture, sound


def model_with(tokenizer: Path, **decoder: Any) -> AnyToAnyModel:
    torch.manual_seed(2)
    options = model_options(tokenizer)
    options["decoders"] = {"brush": image_decoder_options(**decoder)}
    options["modalities"]["image"] |= {"decoder": "brush", "reference": "last"}
    model = AnyToAnyModel.from_config({"model": options})
    if decoder.get("reference"):
        brush = model.decoder("image")
        assert isinstance(brush, LatentDiffusionDecoder)
        torch.manual_seed(3)
        with torch.no_grad():
            brush.unet.conv_in.weight[:, 4:].normal_()
    return model


def batch_of(model: AnyToAnyModel, *conversations: Conversation) -> Batch:
    return model.collator()([Sample(c, "test") for c in conversations])


TWO_TURNS = Conversation(
    [
        Message("user", ["make it blue ", picture(0)]),
        Message("assistant", [picture(1), sound(5)]),
        Message("user", ["turn it upside down"]),
        Message("assistant", [picture(2)]),
    ]
)
FIRST = Conversation([Message("user", [sound(3), "a red heart"]), Message("assistant", [picture(4)])])


def test_the_diffusion_loss_sees_the_source_and_its_gradient_still_reaches_the_llm(tokenizer_folder: Path) -> None:
    def loss(model: AnyToAnyModel, *, without: bool = False) -> Tensor:
        batch = batch_of(model, TWO_TURNS, FIRST)
        targets = batch.media["image"].decoder
        assert targets is not None
        if without:
            targets.references = targets.has_reference = None
        torch.manual_seed(0)
        return model(batch).terms["diffusion/image"].mean

    sourced, plain = (model_with(tokenizer_folder, **o) for o in ({"reference": True}, {}))
    assert loss(sourced).item() != pytest.approx(loss(plain).item(), rel=1e-4)
    assert loss(sourced, without=True).item() == pytest.approx(loss(plain).item(), rel=1e-5)
    loss(sourced).backward()
    gradients = [p.grad for p in sourced.llm.parameters() if p.grad is not None]
    assert any(bool(g.any()) for g in gradients)
    assert all(p.grad is None for p in sourced.parts.decoders.parameters())


def answer(model: AnyToAnyModel, *conversations: Conversation, **options: Any) -> list[Message]:
    prompts = [c.prompt() for c in conversations]
    chosen = {"media": {"image": "force"}, "max_new_tokens": 0, **options}
    return list(model.generate(prompts, seed=[7] * len(prompts), **chosen))


def directly(model: AnyToAnyModel, made: Media, seed: int, source: Media | None, **options: Any) -> Tensor:
    """What the decoder itself makes of an answer's features."""
    decoder = model.decoder("image")
    assert decoder is not None
    assert made.features is not None
    condition = Condition(made.features[None])
    if source is not None:
        condition = Condition(made.features[None], decoder.preprocess(source)[None], torch.tensor([True]))
    return decoder.generate(condition, seeds=[seed], sampling=decoder.Sampling(**options))[0].tensor()


def test_an_answer_is_decoded_with_the_last_medium_of_the_prompt(tokenizer_folder: Path) -> None:
    model = model_with(tokenizer_folder, reference=True)
    for conversation, source in ((TWO_TURNS, picture(1)), (FIRST, None)):
        (message,) = answer(model, conversation)
        torch.testing.assert_close(message.media[0].tensor(), directly(model, message.media[0], 7, source))
        together = answer(model, FIRST, TWO_TURNS)[conversation is TWO_TURNS]
        torch.testing.assert_close(together.media[0].tensor(), message.media[0].tensor(), atol=1e-4, rtol=1e-3)
    how = {"reference_guidance": 4.0, "guidance": 2.0}
    (guided,) = answer(model, TWO_TURNS, sampling={"image": how})
    expected = directly(model, guided.media[0], 7, picture(1), **how)
    torch.testing.assert_close(guided.media[0].tensor(), expected)
    assert not torch.allclose(expected, directly(model, guided.media[0], 7, picture(1)), atol=1e-3)


def test_what_was_generated_is_the_source_of_what_follows(tokenizer_folder: Path) -> None:
    model = model_with(tokenizer_folder, reference=True)
    with torch.no_grad():
        begin = model.tags["image"].begin - model.llm.vocab_size  # type: ignore[operator]
        model.llm.new_output_rows[begin] += 50 * model.llm.new_output_rows[begin].sign()  # type: ignore[index,operator]
    options = {"max_new_tokens": 8, "temperature": 5.0, "max_media": 2}
    answers = answer(model, *[TWO_TURNS] * 6, **options)
    first, second = next(m.media for m in answers if [x.modality for x in m.media] == ["image"] * 2)
    message = next(m for m in answers if m.media[:2] == [first, second])
    segment = next(n for n, s in enumerate(message.segments) if s is second)
    seed = 7 + 7919 * segment
    torch.testing.assert_close(second.tensor(), directly(model, second, seed, first), atol=1e-4, rtol=1e-3)
    assert not torch.allclose(second.tensor(), directly(model, second, seed, picture(1)), atol=1e-3)

    later = Conversation([*TWO_TURNS.prompt().messages, Message("assistant", [first]), Message("user", "hello")])
    (message,) = answer(model, later)
    torch.testing.assert_close(message.media[0].tensor(), directly(model, message.media[0], 7, first))


def test_a_saved_model_keeps_its_widened_decoder(tokenizer_folder: Path, tmp_path: Path) -> None:
    model = model_with(tokenizer_folder, reference=True)
    model.save_pretrained(tmp_path / "saved")
    loaded = AnyToAnyModel.from_pretrained(tmp_path / "saved", trust=True)
    a, b = (answer(m, TWO_TURNS)[0].media[0].tensor() for m in (model, loaded))
    assert torch.equal(a, b)


def test_a_stage_takes_edits_with_their_sources() -> None:
    samples = [Sample(c, "test") for c in (TWO_TURNS, FIRST, TWO_TURNS)]

    def pairs(**options: Any) -> list[tuple[str, str | None]]:
        batch = TargetCollator("image", Media.tensor, **options)(samples)
        assert batch.targets is not None
        assert len(batch.targets) == len(batch.keys) == len(set(batch.keys))
        sources = [None if s < 0 else batch.keys[s] for s in batch.source.tolist()]
        return [(batch.keys[t][-1], s and s[-1]) for t, s in zip(batch.target.tolist(), sources)]

    assert pairs() == [("0", None), ("1", None), ("2", None), ("4", None)]
    assert pairs(edits=True) == [("0", None), ("1", "0"), ("2", "1"), ("4", None)]
    assert pairs(edits=True, roles="assistant") == [("1", "0"), ("2", "1"), ("4", None)]
    assert pairs(edits=True, roles="assistant", limit=1) == [("1", "0")]
