"""Losses of any mix of modalities, where gradients go, and what a step is divided by."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from anyloom import AnyToAnyModel, Conversation, Message
from anyloom.errors import FeatureSpaceError
from anyloom.features.cache import FeatureCache
from anyloom.interfaces import Sample
from anyloom.network.losses import Losses, Term
from anyloom.sequence.batch import Batch
from parts import DIM, image_decoder_options, llm_options, model_options, picture, sound


def make(tokenizer: Path, **more: Any) -> AnyToAnyModel:
    return AnyToAnyModel.from_config({"model": model_options(tokenizer, **more)})


def with_decoder(tokenizer: Path) -> AnyToAnyModel:
    options = model_options(tokenizer)
    options["decoders"] = {"brush": image_decoder_options()}
    options["modalities"]["image"]["decoder"] = "brush"
    return AnyToAnyModel.from_config({"model": options})


def batch_of(model: AnyToAnyModel, *conversations: Conversation) -> Batch:
    return model.collator()([Sample(c, "test") for c in conversations])


BOTH = Conversation(
    [Message("user", ["make it blue ", picture(0)]), Message("assistant", ["hello ", picture(1), sound(2)])]
)
TEXT_ONLY = Conversation([Message("user", "hello"), Message("assistant", "hello there")])
INPUT_ONLY = Conversation([Message("user", [sound(3), "what is this?"]), Message("assistant", "the sound of a bell")])
OUTPUT_ONLY = Conversation([Message("user", "a red heart"), Message("assistant", [picture(4)])])


def test_a_sample_with_two_modalities_gives_both_losses(tokenizer_folder: Path) -> None:
    model = make(tokenizer_folder)
    losses = model(batch_of(model, BOTH))
    assert set(losses.terms) == {"text", "feature/image", "feature/audio"}
    means = [t.mean.item() for t in losses.terms.values()]
    assert all(mean > 0 for mean in means)
    assert losses.total().item() == pytest.approx(sum(means), rel=1e-6)


def test_weights_switch_and_scale_terms(tokenizer_folder: Path) -> None:
    options = model_options(tokenizer_folder)
    options["modalities"]["image"]["feature_weight"] = 3.0
    options["modalities"]["audio"]["feature_weight"] = 0.0
    options["loss"] = {"text_weight": 0.5}
    model = AnyToAnyModel.from_config({"model": options})
    losses = model(batch_of(model, BOTH))
    expected = 0.5 * losses.terms["text"].mean + 3.0 * losses.terms["feature/image"].mean
    assert losses.total().item() == pytest.approx(expected.item(), rel=1e-6)


def test_token_and_feature_terms_are_those_of_torch(tokenizer_folder: Path) -> None:
    model = make(tokenizer_folder).eval()
    batch = batch_of(model, BOTH, INPUT_ONLY)
    losses = model(batch)
    encoded = {n: model.encode(n, m) for n, m in batch.media.items()}
    output = model.llm(model.inputs(batch, model.place(batch, encoded)))
    rows, at = batch.label_at.T
    logits = model.llm(model.inputs(batch, model.place(batch, encoded))).logits
    text = torch.nn.functional.cross_entropy(logits, batch.ids[rows, at + 1])
    assert losses.terms["text"].mean.item() == pytest.approx(text.item(), rel=1e-5)
    media, features = batch.media["image"], encoded["image"].given
    assert features is not None
    place = int(media.made[0])
    hidden = output.hidden[media.row[place], media.start[place] - 1]
    predicted = model.representation("image").output_projector(hidden)  # type: ignore[operator]
    mse = torch.nn.functional.mse_loss(predicted, features[place, 0])
    assert losses.terms["feature/image"].mean.item() == pytest.approx(mse.item(), rel=1e-5)


def test_packed_samples_give_the_losses_and_gradients_of_padded_ones(tokenizer_folder: Path) -> None:
    model = with_decoder(tokenizer_folder).eval()  # chance in L_DM comes from the samples outside training
    samples = [Sample(c, "test", key=str(n)) for n, c in enumerate((BOTH, TEXT_ONLY, INPUT_ONLY, OUTPUT_ONLY))]
    found = []
    for rows in ([[s] for s in samples], [samples], [samples[:3], samples[3:]]):
        model.zero_grad()
        losses = model(model.collator().pack(rows))
        losses.total().backward()
        gradient = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
        found.append(({n: t.mean.item() for n, t in losses.terms.items()}, gradient))
    assert set(found[0][0]) == {"text", "feature/image", "feature/audio", "diffusion/image"}
    for terms, gradient in found[1:]:
        assert terms == pytest.approx(found[0][0], rel=1e-5)
        torch.testing.assert_close(gradient, found[0][1], atol=1e-6, rtol=1e-4)


def test_a_changed_sample_leaves_its_packed_neighbours_bit_equal(tokenizer_folder: Path) -> None:
    model = make(tokenizer_folder).eval()
    hidden = []
    for first in (picture(0), picture(9)):
        changed = Conversation([Message("user", ["make it blue ", first]), BOTH.messages[1]])
        batch = model.collator().pack([[Sample(changed, "a"), Sample(INPUT_ONLY, "b")]])
        encoded = {n: model.encode(n, m) for n, m in batch.media.items()}
        states = model.llm(model.inputs(batch, model.place(batch, encoded))).hidden
        hidden.append((states[batch.segments == 1], states[batch.segments == 2]))
    assert not torch.equal(hidden[0][0], hidden[1][0])
    assert torch.equal(hidden[0][1], hidden[1][1])


def test_a_batch_of_four_equals_four_batches_of_one_divided_by_all_counts(tokenizer_folder: Path) -> None:
    model = make(tokenizer_folder).eval()
    conversations = [BOTH, TEXT_ONLY, INPUT_ONLY, OUTPUT_ONLY]
    model(batch_of(model, *conversations)).total().backward()
    whole = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    batches = [batch_of(model, c) for c in conversations]
    counts = {n: sum(b.counts().get(n, 0) for b in batches) for n in ("text", "feature/image", "feature/audio")}
    for batch in batches:
        model(batch).total(counts).backward()
    for name, gradient in whole.items():
        found = model.get_parameter(name).grad
        assert found is not None
        torch.testing.assert_close(found, gradient, atol=1e-6, rtol=1e-4)


def test_what_a_batch_has_no_use_for_gets_zero_gradients_where_others_wait(tokenizer_folder: Path) -> None:
    model = with_decoder(tokenizer_folder).train()
    model.idle = True
    for conversation in (TEXT_ONLY, INPUT_ONLY, OUTPUT_ONLY, BOTH):
        model.zero_grad()
        losses = model(batch_of(model, conversation))
        losses.total().backward()
        without = [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]
        assert not without
        model.idle = False
        plain = model(batch_of(model, conversation))
        model.idle = True
        assert losses.terms["text"].mean.item() == pytest.approx(plain.terms["text"].mean.item(), rel=1e-6)


def test_diffusion_loss_alone_reaches_the_llm_and_projectors_and_not_the_decoder(tokenizer_folder: Path) -> None:
    model = with_decoder(tokenizer_folder).train()
    model(batch_of(model, BOTH)).terms["diffusion/image"].total.backward()
    gradients = {n for n, p in model.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
    assert any("self_attn.q_proj" in n for n in gradients)
    assert any("self_attn.v_proj" in n for n in gradients)
    for side in ("input", "output"):
        assert any(n.startswith(f"parts.representations.image.{side}_projector") for n in gradients)
    foreign = ("parts.decoders", "parts.encoders", "parts.representations.audio.output_projector")
    assert not any(n.startswith(foreign) for n in gradients)


def test_gradient_stops_at_the_target_features(tokenizer_folder: Path) -> None:
    options = model_options(tokenizer_folder)
    options["encoders"]["eye"]["freeze"] = False
    model = AnyToAnyModel.from_config({"model": options})
    model(batch_of(model, OUTPUT_ONLY)).terms["feature/image"].total.backward()
    assert all(p.grad is None or not p.grad.any() for p in model.encoder("image").parameters())


def test_validation_losses_do_not_depend_on_the_batch(tokenizer_folder: Path) -> None:
    model = with_decoder(tokenizer_folder).eval()
    conversations = [BOTH, TEXT_ONLY, OUTPUT_ONLY, BOTH]
    samples = [Sample(c, "test", key=str(n)) for n, c in enumerate(conversations)]
    sums: list[dict[str, float]] = []
    for size in (1, 2, 4):
        found: dict[str, float] = {}
        for start in range(0, 4, size):
            for name, term in model(model.collator()(samples[start : start + size])).terms.items():
                found[name] = found.get(name, 0.0) + term.total.item()
        sums.append(found)
    assert sums[1] == pytest.approx(sums[0], rel=1e-5)
    assert sums[2] == pytest.approx(sums[0], rel=1e-5)


def test_neither_do_training_losses_with_noise_of_every_kind(tokenizer_folder: Path) -> None:
    """Sums of 1 x 4 and 4 x 1 agree; another visit of the same samples has other noise."""
    options = model_options(tokenizer_folder)
    options["decoders"] = {"brush": {**image_decoder_options(), "freeze": False, "condition_dropout": 0.5}}
    options["modalities"]["image"]["decoder"] = "brush"
    for modality in options["modalities"].values():
        modality["representation"] = {"name": "autoregressive", "feature_noise": 0.5}
    model = AnyToAnyModel.from_config({"model": options}).train()
    collator = model.collator()

    def losses(size: int, visit: int | None) -> dict[str, float]:
        found: dict[str, float] = {}
        given = [
            Sample(c, "test", key=str(n), seed=None if visit is None else 4 * visit + n)
            for n, c in enumerate([BOTH, TEXT_ONLY, OUTPUT_ONLY, BOTH])
        ]
        for start in range(0, 4, size):
            for name, term in model(collator(given[start : start + size])).terms.items():
                found[name] = found.get(name, 0.0) + term.total.item()
        return found

    for visit in (None, 0):
        assert losses(4, visit) == pytest.approx(losses(1, visit), rel=1e-5)
    first, second = losses(4, 0), losses(4, 1)
    assert all(abs(first[name] / second[name] - 1) > 1e-5 for name in first)


def test_cached_features_change_nothing(tokenizer_folder: Path) -> None:
    model = make(tokenizer_folder).eval()
    conversations = [BOTH, INPUT_ONLY, BOTH, OUTPUT_ONLY]
    plain = [model(batch_of(model, c, BOTH)).total() for c in conversations]
    model.cache = FeatureCache()
    cached = [model(batch_of(model, c, BOTH)).total() for c in conversations]
    torch.testing.assert_close(torch.stack(plain), torch.stack(cached), atol=1e-6, rtol=1e-6)
    given = batch_of(model, BOTH).media["image"].given
    assert given is not None
    assert given.inputs is None


def test_an_encoder_of_its_own_gives_what_is_predicted(tokenizer_folder: Path) -> None:
    options = model_options(tokenizer_folder, modalities=("image",))
    options["encoders"]["other"] = {"class_path": "parts.PatchEncoder", "space": "other", "tokens": 2}
    options["modalities"]["image"]["target_encoder"] = "other"
    model = AnyToAnyModel.from_config({"model": options}).eval()
    batch = batch_of(model, Conversation([BOTH.messages[0], OUTPUT_ONLY.messages[1]]))
    media = batch.media["image"]
    encoded = model.encode("image", media)
    assert encoded.given is not None
    assert encoded.wanted is not None
    target = model.parts.encoder("other")
    expected = target(target.preprocess(picture(4))[None], "image")[0]
    torch.testing.assert_close(encoded.wanted[1], expected)
    assert encoded.given.shape[1:] == (1, DIM)
    assert [r.length for r in model.interleaver()(BOTH.prompt()).runs] == [1]
    model(batch).total().backward()
    answer = model.generate(BOTH.prompt(), media={"image": "force"}, max_new_tokens=0)
    assert isinstance(answer, Message)
    assert answer.media[0].features is not None
    assert answer.media[0].features.shape == (2, DIM)


def test_a_decoder_of_another_feature_space_is_refused(tokenizer_folder: Path) -> None:
    options = model_options(tokenizer_folder)
    options["decoders"] = {"brush": image_decoder_options(dim=2 * DIM)}
    options["modalities"]["image"]["decoder"] = "brush"
    with pytest.raises(FeatureSpaceError, match=r"model\.modalities\.image\.decoder: .*brush.*eye.*dim 8 is not 16"):
        AnyToAnyModel.from_config({"model": options})


@pytest.mark.parametrize("lora", [None, {"rank": 4}])
def test_added_rows_learn_and_old_rows_stay(tokenizer_folder: Path, lora: dict[str, int] | None) -> None:
    options = model_options(tokenizer_folder)
    options["llm"] = llm_options(tokenizer_folder, freeze=True, lora=lora)
    model = AnyToAnyModel.from_config({"model": options}).train()
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    for _ in range(2):
        optimizer.zero_grad()
        model(batch_of(model, BOTH)).total().backward()
        optimizer.step()
    moved = {n for n, p in model.named_parameters() if not torch.equal(p, before[n])}
    assert {"parts.llm.new_input_rows", "parts.llm.new_output_rows"} <= moved
    assert not any("embed_tokens" in n or "lm_head" in n for n in moved)
    assert any("lora_" in n for n in moved) == (lora is not None)
    assert not any(n.startswith("parts.llm.lm") and "lora_" not in n for n in moved)


def test_terms_without_anything_are_zero_and_not_a_division_by_it() -> None:
    losses = Losses({"text": Term(torch.tensor(0.0), 0, 1.0)})
    assert losses.total().item() == 0.0
    assert Losses().total().item() == 0.0
