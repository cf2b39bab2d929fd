"""Losses, gradients, mixtures, generation, saving."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from anyloom import AnyToAnyModel, Conversation, Message
from anyloom.conversation import Media
from anyloom.errors import CheckpointError, ConfigError, ConversationError, FeatureSpaceError
from anyloom.features.cache import FeatureCache
from anyloom.interfaces import Sample
from anyloom.network.losses import feature_loss
from anyloom.sequence.batch import Batch
from parts import DIM, image_decoder_options, llm_options, model_options, picture, sound


def make(tokenizer: Path, **more: Any) -> AnyToAnyModel:
    return AnyToAnyModel.from_config({"model": model_options(tokenizer, **more)})


def with_decoder(tokenizer: Path) -> AnyToAnyModel:
    options = model_options(tokenizer)
    options["decoders"] = {"brush": image_decoder_options()}
    options["modalities"]["image"]["decoder"] = "brush"
    return AnyToAnyModel.from_config({"model": options})


def batch_of(model: AnyToAnyModel, *conversations: Conversation, diffusion: bool = True) -> Batch:
    return model.collator(diffusion=diffusion)([Sample(c, "test") for c in conversations])


BOTH = Conversation(
    [Message("user", ["make it blue ", picture(0)]), Message("assistant", ["hello ", picture(1), sound(2)])]
)
TEXT_ONLY = Conversation([Message("user", "hello"), Message("assistant", "hello there")])
INPUT_ONLY = Conversation([Message("user", [sound(3), "what is this?"]), Message("assistant", "the sound of a bell")])
OUTPUT_ONLY = Conversation([Message("user", "a red heart"), Message("assistant", [picture(4)])])


def test_a_sample_with_two_modalities_gives_both_losses(tokenizer_folder: Path) -> None:
    losses = make(tokenizer_folder)(batch_of(make(tokenizer_folder), BOTH))
    assert set(losses.terms) == {"text", "feature/image", "feature/audio"}
    assert all(t.item() > 0 for t in losses.terms.values())
    assert losses.total.item() == pytest.approx(sum(t.item() for t in losses.terms.values()), rel=1e-6)


def test_weights_switch_and_scale_terms(tokenizer_folder: Path) -> None:
    options = model_options(tokenizer_folder)
    options["modalities"]["image"]["feature_weight"] = 3.0
    options["modalities"]["audio"]["feature_weight"] = 0.0
    options["loss"] = {"text_weight": 0.5}
    model = AnyToAnyModel.from_config({"model": options})
    losses = model(batch_of(model, BOTH))
    expected = 0.5 * losses.terms["text"] + 3.0 * losses.terms["feature/image"]
    assert losses.total.item() == pytest.approx(expected.item(), rel=1e-6)


def test_any_mix_in_one_batch_equals_the_samples_alone(tokenizer_folder: Path) -> None:
    model = make(tokenizer_folder).eval()
    conversations = [BOTH, TEXT_ONLY, INPUT_ONLY, OUTPUT_ONLY]
    batch = batch_of(model, *conversations)
    features = {n: model.encode(n, m) for n, m in batch.media.items()}
    hidden = model.run_llm(batch, features).hidden
    for row, conversation in enumerate(conversations):
        one = batch_of(model, conversation)
        alone = model.run_llm(one, {n: model.encode(n, m) for n, m in one.media.items()}).hidden[0]
        torch.testing.assert_close(hidden[row, : len(alone)], alone, atol=1e-5, rtol=1e-4)


def test_data_workers_get_no_weights(tokenizer_folder: Path) -> None:
    model = with_decoder(tokenizer_folder)
    model.encoder("image").linear = torch.nn.Linear(48, 100_000)  # type: ignore[assignment]
    collator = model.collator()
    tokenizer = len(pickle.dumps(collator.interleaver))
    packed = pickle.dumps(collator)
    assert len(packed) < tokenizer + 20_000
    there = pickle.loads(packed)
    assert all(p.is_meta for p in there.encode["image"].component.parameters())
    samples = [Sample(BOTH, "test")]
    ours, theirs = collator(samples).media["image"], there(samples).media["image"]
    assert ours.inputs is not None
    assert ours.decoder_targets is not None
    torch.testing.assert_close(ours.inputs, theirs.inputs)
    torch.testing.assert_close(ours.decoder_targets, theirs.decoder_targets)


def test_feature_loss_forms() -> None:
    a, b = torch.tensor([[[1.0, 0.0]], [[0.0, 2.0]]]), torch.tensor([[[0.0, 0.0]], [[0.0, 1.0]]])
    assert feature_loss(a, b, torch.tensor([1.0, 1.0])).item() == pytest.approx(0.5)
    assert feature_loss(a, b, torch.tensor([1.0, 0.0])).item() == pytest.approx(0.5)
    assert feature_loss(a[1:], b[1:], torch.ones(1), "cosine").item() == pytest.approx(0.0)
    assert feature_loss(a[1:], -b[1:], torch.ones(1), "cosine").item() == pytest.approx(2.0)


def test_diffusion_loss_alone_reaches_the_llm_and_projector_and_not_the_decoder(tokenizer_folder: Path) -> None:
    model = with_decoder(tokenizer_folder).train()
    losses = model(batch_of(model, BOTH))
    losses.terms["diffusion/image"].backward()
    gradients = {n: p.grad for n, p in model.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
    assert any("self_attn.q_proj" in n for n in gradients)
    assert any("self_attn.v_proj" in n for n in gradients)
    assert any(n.startswith("parts.output_projectors.image") for n in gradients)
    assert any(n.startswith("parts.input_projectors.image") for n in gradients)
    assert not any(
        n.startswith(("parts.decoders", "parts.encoders", "parts.output_projectors.audio")) for n in gradients
    )


def test_step_by_step_generation_equals_one_teacher_forced_pass(tokenizer_folder: Path) -> None:
    options = model_options(tokenizer_folder)
    options["encoders"]["eye"]["tokens"] = 3
    model = AnyToAnyModel.from_config({"model": options}).eval()
    prompt = Conversation([Message("user", ["make it blue ", picture(0)])])
    answer = model.generate(prompt, media={"image": "force"}, max_new_tokens=4)
    assert isinstance(answer, Message)
    generated = answer.media[0].features
    assert generated is not None
    again = Conversation([*prompt.messages, Message("assistant", [Media("image", torch.zeros(3, 8, 8)), answer.text])])
    batch = batch_of(model, again)
    media = batch.media["image"]
    features = model.encode("image", media).clone()
    features[1] = generated
    with torch.no_grad():
        hidden = model.run_llm(batch, {"image": features}).hidden
        predicted = model.predict_features("image", hidden, media, features)[1]
    torch.testing.assert_close(predicted, generated, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("strategy", ["autoregressive", "parallel"])
def test_generation_in_a_batch_equals_one_by_one(tokenizer_folder: Path, strategy: str) -> None:
    options = model_options(tokenizer_folder, feature_steps=strategy)
    options["encoders"]["eye"]["tokens"] = 2
    model = AnyToAnyModel.from_config({"model": options})
    prompts = [c.prompt() for c in (BOTH, TEXT_ONLY, INPUT_ONLY)]
    how = {"media": {"image": "force", "audio": "allow"}, "max_new_tokens": 6, "temperature": 1.0}
    together = model.generate(prompts, seed=[7, 8, 9], **how)
    for prompt, seed, answer in zip(prompts, [7, 8, 9], together):
        alone = model.generate(prompt, seed=seed, **how)
        assert isinstance(alone, Message)
        assert alone.text == answer.text
        assert [m.modality for m in alone.media] == [m.modality for m in answer.media]
        for a, b in zip(alone.media, answer.media):
            torch.testing.assert_close(a.features, b.features, atol=1e-5, rtol=1e-4)


def test_parallel_steps_are_read_at_the_begin_tag(tokenizer_folder: Path) -> None:
    options = model_options(tokenizer_folder, feature_steps="parallel")
    options["encoders"]["eye"]["tokens"] = 3
    model = AnyToAnyModel.from_config({"model": options})
    batch = batch_of(model, OUTPUT_ONLY)
    media = batch.media["image"]
    hidden = torch.randn(1, batch.ids.shape[1], 32, requires_grad=True)
    features = model.encode("image", media)
    model.predict_features("image", hidden, media, features).sum().backward()
    touched = hidden.grad.abs().sum(-1)[0].nonzero().flatten().tolist()  # type: ignore[union-attr]
    assert touched == [int(media.start[0]) - 1]
    assert model.predict_features("image", hidden, media, features).shape == (1, 3, DIM)


def test_media_are_forced_allowed_forbidden_and_runs_always_complete(tokenizer_folder: Path) -> None:
    options = model_options(tokenizer_folder)
    options["encoders"]["eye"]["tokens"] = 2
    model = AnyToAnyModel.from_config({"model": options})
    begin = model.tags["image"].begin - model.llm.vocab_size  # type: ignore[operator]
    with torch.no_grad():
        model.llm.new_output_rows[begin] += 50 * model.llm.new_output_rows[begin].sign()  # type: ignore[index,operator]
    prompt = TEXT_ONLY.prompt()
    forced = model.generate(prompt, media={"audio": "force", "image": "force"}, max_new_tokens=0)
    assert isinstance(forced, Message)
    assert [m.modality for m in forced.media] == ["audio", "image"]
    assert all(m.features is not None and m.features.shape == (2, DIM) for m in forced.media)
    seeds = list(range(8))
    free = model.generate([prompt] * 8, seed=seeds, temperature=5.0, max_new_tokens=8, max_media=2)
    assert any(answer.media for answer in free)
    assert all(len(answer.media) <= 2 for answer in free)
    never = {"image": "forbid", "audio": "forbid"}
    without = model.generate([prompt] * 8, media=never, seed=seeds, temperature=5.0, max_new_tokens=8)
    assert not any(answer.media for answer in without)


def test_unknown_media_and_options_are_refused(tokenizer_folder: Path) -> None:
    model = make(tokenizer_folder)
    with pytest.raises(ConversationError, match="does not make 'smell'"):
        model.generate(TEXT_ONLY.prompt(), media={"smell": "force"})
    with pytest.raises(ConfigError, match="did you mean 'temperature'"):
        model.generate(TEXT_ONLY.prompt(), temprature=1.0)


def test_save_and_load_give_equal_outputs(tokenizer_folder: Path, tmp_path: Path) -> None:
    model = make(tokenizer_folder).eval()
    model.save_pretrained(tmp_path / "saved")
    assert {p.suffix for p in (tmp_path / "saved").rglob("*") if p.is_file()} <= {".json", ".safetensors", ".jinja"}
    loaded = AnyToAnyModel.from_pretrained(tmp_path / "saved", trust=True)
    batch = batch_of(model, BOTH, INPUT_ONLY)
    assert torch.equal(model(batch).total, loaded(batch).total)
    prompt, how = BOTH.prompt(), {"media": {"image": "force"}, "max_new_tokens": 4}
    a, b = model.generate(prompt, **how), loaded.generate(prompt, **how)
    assert isinstance(a, Message)
    assert isinstance(b, Message)
    assert a.text == b.text
    assert torch.equal(a.media[0].features, b.media[0].features)  # type: ignore[arg-type]


def test_truncated_and_foreign_weights_give_one_clear_error(tokenizer_folder: Path, tmp_path: Path) -> None:
    make(tokenizer_folder).save_pretrained(tmp_path / "saved")
    weights = tmp_path / "saved" / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CheckpointError, match="truncated"):
        AnyToAnyModel.from_pretrained(tmp_path / "saved", trust=True)
    other = make(tokenizer_folder, modalities=("image",))
    other.save_pretrained(tmp_path / "other")
    weights.write_bytes((tmp_path / "other" / "model.safetensors").read_bytes())
    with pytest.raises(CheckpointError, match=r"model\.safetensors.*not the one that was saved"):
        AnyToAnyModel.from_pretrained(tmp_path / "saved", trust=True)
    shutil.copy(tmp_path / "other" / "config.json", tmp_path / "saved")
    record = json.loads((tmp_path / "saved" / "config.json").read_text())
    record["model"]["modalities"]["audio"] = record["model"]["modalities"]["image"]
    (tmp_path / "saved" / "config.json").write_text(json.dumps(record))
    with pytest.raises(CheckpointError, match="keys missing"):
        AnyToAnyModel.from_pretrained(tmp_path / "saved", trust=True)
    with pytest.raises(CheckpointError, match="no saved model"):
        AnyToAnyModel.from_pretrained(tmp_path, trust=True)


def test_a_changed_or_missing_file_is_named(tokenizer_folder: Path, tmp_path: Path) -> None:
    make(tokenizer_folder).save_pretrained(tmp_path)
    file = next(f for f in (tmp_path / "llm").iterdir() if f.name == "tokenizer.json")
    assert set(json.loads((tmp_path / "config.json").read_text())["files"]) >= {
        "model.safetensors", "llm/tokenizer.json"
    }  # fmt: skip
    whole = file.read_text()
    file.write_text(whole.replace('"<pad>"', '"<pat>"'))
    with pytest.raises(CheckpointError, match=r"llm/tokenizer\.json.*SHA-256"):
        AnyToAnyModel.from_pretrained(tmp_path, trust=True)
    file.unlink()
    with pytest.raises(CheckpointError, match=r"llm/tokenizer\.json.*missing"):
        AnyToAnyModel.from_pretrained(tmp_path, trust=True)
    file.write_text(whole)
    AnyToAnyModel.from_pretrained(tmp_path, trust=True)


def test_a_model_saved_in_half_precision_loads_in_single(tokenizer_folder: Path, tmp_path: Path) -> None:
    model = make(tokenizer_folder).eval()
    for name in ("whole", "half"):
        model.save_pretrained(tmp_path / name, dtype="float16" if name == "half" else None)
    sizes = [(tmp_path / n / "model.safetensors").stat().st_size for n in ("whole", "half")]
    assert sizes[1] < 0.6 * sizes[0]
    loaded = AnyToAnyModel.from_pretrained(tmp_path / "half", trust=True)
    assert {p.dtype for p in loaded.parameters()} == {torch.float32}
    for name, tensor in model.parts.state_dict().items():
        torch.testing.assert_close(loaded.parts.state_dict()[name], tensor, atol=1e-6, rtol=2**-11)
    batch = batch_of(model, BOTH, INPUT_ONLY)
    assert torch.allclose(model(batch).total, loaded(batch).total, rtol=1e-2)
    with pytest.raises(ConfigError, match="float16, bfloat16"):
        model.save_pretrained(tmp_path / "int8", dtype="int8")
    with torch.no_grad():
        model.encoder("image").linear.weight[0, 0] = 1e6  # type: ignore[union-attr, operator, index]
    with pytest.raises(CheckpointError, match=r"linear\.weight are too large for float16"):
        model.save_pretrained(tmp_path / "large", dtype="float16")


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
        model(batch_of(model, BOTH)).total.backward()
        optimizer.step()
    moved = {n for n, p in model.named_parameters() if not torch.equal(p, before[n])}
    assert {"parts.llm.new_input_rows", "parts.llm.new_output_rows"} <= moved
    assert not any("embed_tokens" in n or "lm_head" in n for n in moved)
    assert any("lora_" in n for n in moved) == (lora is not None)
    assert not any(n.startswith("parts.llm.lm") and "lora_" not in n for n in moved)


def test_cached_features_change_nothing(tokenizer_folder: Path) -> None:
    model = make(tokenizer_folder).eval()
    conversations = [BOTH, INPUT_ONLY, BOTH, OUTPUT_ONLY]
    plain = [model(batch_of(model, c, BOTH)).total for c in conversations]
    model.cache = FeatureCache()
    cached = [model(batch_of(model, c, BOTH)).total for c in conversations]
    torch.testing.assert_close(torch.stack(plain), torch.stack(cached), atol=1e-6, rtol=1e-6)
    assert batch_of(model, BOTH).media["image"].inputs is None


def test_gradient_stops_at_the_target_features(tokenizer_folder: Path) -> None:
    options = model_options(tokenizer_folder)
    options["encoders"]["eye"]["freeze"] = False
    model = AnyToAnyModel.from_config({"model": options})
    model(batch_of(model, OUTPUT_ONLY)).terms["feature/image"].backward()
    encoder = model.encoder("image")
    assert all(p.grad is None or not p.grad.any() for p in encoder.parameters())


def test_errors_relative_to_change_weigh_small_edits_up(tokenizer_folder: Path) -> None:
    options = model_options(tokenizer_folder, loss={"relative_to_change": 0.5})
    model = AnyToAnyModel.from_config({"model": options}).eval()
    batch = batch_of(model, BOTH, OUTPUT_ONLY)
    media = batch.media["image"]
    features = model.encode("image", media)
    predicted = model.predict_features(
        "image", model.run_llm(batch, {n: model.encode(n, m) for n, m in batch.media.items()}).hidden, media, features
    )
    error = (predicted - features).square().mean((1, 2))
    before = torch.stack([torch.zeros_like(features[0]), features[0], torch.zeros_like(features[0])])
    weight = media.target / ((features - before).square().mean((1, 2)) + 0.5)
    expected = (error * weight).sum() / weight.sum()
    assert model(batch).terms["feature/image"].item() == pytest.approx(expected.item(), rel=1e-5)
