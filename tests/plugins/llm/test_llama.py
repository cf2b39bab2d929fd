"""The LLM plugin on checkpoints in their published layout, tiny: several architectures, precisions, chat templates."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from anyloom import AnyToAnyModel, Conversation, Message
from anyloom.errors import AnyloomError, CheckpointError, ConfigError, ConversationError
from anyloom.interfaces import LLMInputs, Sample
from parts import llm_options, model_options, picture

CONVERSATION = Conversation(
    [Message("user", ["make it blue ", picture(0)]), Message("assistant", ["and ", picture(1)])]
)

ARCHITECTURES: dict[str, dict[str, Any]] = {
    "llama": {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4},
    "qwen3": {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "tie_word_embeddings": True,
    },
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 128},
}


@pytest.fixture(params=list(ARCHITECTURES))
def checkpoint(request: pytest.FixtureRequest, tokenizer_folder: Path, tmp_path: Path) -> Path:
    """A folder as transformers writes it."""
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    config = AutoConfig.for_model(request.param, vocab_size=320, **ARCHITECTURES[request.param])
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path / "checkpoint")
    AutoTokenizer.from_pretrained(tokenizer_folder).save_pretrained(tmp_path / "checkpoint")
    return tmp_path / "checkpoint"


def model_from(checkpoint: Path, **llm: Any) -> AnyToAnyModel:
    options = model_options(checkpoint, ("image",))
    options["llm"] = {"name": "llama", "weights": str(checkpoint), "attention": "eager", **llm}
    return AnyToAnyModel.from_config({"model": options})


def loss_of(model: AnyToAnyModel) -> torch.Tensor:
    return model(model.collator()([Sample(CONVERSATION, "test")])).total()


def test_a_published_folder_loads_and_gives_its_own_logits(checkpoint: Path) -> None:
    from transformers import AutoModelForCausalLM

    model = model_from(checkpoint).eval()
    reference = AutoModelForCausalLM.from_pretrained(checkpoint).eval()
    ids = torch.tensor([model.llm.tokenizer.encode("what is this? hello there")])
    length = ids.shape[1]
    everywhere = torch.stack([torch.zeros(length, dtype=torch.long), torch.arange(length)], 1)
    with torch.no_grad():
        ours = model.llm(LLMInputs(ids, torch.arange(length)[None], torch.ones_like(ids), logits_at=everywhere)).logits
        theirs = reference(ids).logits[0]
    torch.testing.assert_close(ours[:, :320], theirs, atol=1e-5, rtol=1e-4)
    assert ours.shape == (length, 322)


@pytest.mark.parametrize(
    "options", [{}, {"freeze": True}, {"lora": {"rank": 2}}, {"gradient_checkpointing": True}], ids=str
)
def test_training_moves_what_it_should(checkpoint: Path, options: dict[str, Any]) -> None:
    model = model_from(checkpoint, **options)
    loss_of(model).backward()
    moved = {n for n, p in model.llm.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
    assert {"new_input_rows", "new_output_rows"} <= moved
    base = {n for n in moved if n.startswith("lm.") and "lora_" not in n}
    assert bool(base) == (not options or "gradient_checkpointing" in options)
    assert any("lora_" in n for n in moved) == ("lora" in options)


def test_gradient_checkpointing_changes_no_gradient(checkpoint: Path) -> None:
    gradients = []
    for checkpointing in (False, True):
        torch.manual_seed(0)
        model = model_from(checkpoint, gradient_checkpointing=checkpointing)
        assert model.llm.training
        loss_of(model).backward()
        gradients.append({n: p.grad for n, p in model.named_parameters() if p.grad is not None})
    assert gradients[0].keys() == gradients[1].keys()
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradient, gradients[1][name], atol=1e-6, rtol=1e-4)


def test_half_precision_trains_and_generates(checkpoint: Path) -> None:
    model = model_from(checkpoint, dtype="bfloat16")
    loss = loss_of(model)
    loss.backward()
    assert torch.isfinite(loss)
    answer = model.generate(CONVERSATION.prompt(), media={"image": "force"}, max_new_tokens=2)
    assert isinstance(answer, Message)
    assert answer.media[0].features is not None
    assert torch.isfinite(answer.media[0].features).all()


@pytest.mark.parametrize("include_frozen", [True, False])
@pytest.mark.parametrize("options", [{"freeze": True}, {"freeze": True, "lora": {"rank": 2}}], ids=str)
def test_saving_keeps_what_was_trained(
    checkpoint: Path, tmp_path: Path, options: dict[str, Any], include_frozen: bool
) -> None:
    model = model_from(checkpoint, **options)
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    loss_of(model).backward()
    optimizer.step()
    model.eval().save_pretrained(tmp_path / "saved", include_frozen=include_frozen)
    loaded = AnyToAnyModel.from_pretrained(tmp_path / "saved", trust=True)
    assert torch.equal(loss_of(model), loss_of(loaded))
    if not include_frozen:
        weights = checkpoint / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:-1] + b"\0")
        with pytest.raises(CheckpointError, match="another file here"):
            AnyToAnyModel.from_pretrained(tmp_path / "saved", trust=True)


def test_answers_end_with_the_table_of_positions(tokenizer_folder: Path) -> None:
    """GPT-2 with 40 positions: answers stop there, media that do not fit are refused, long prompts too."""
    options = model_options(tokenizer_folder, ("image",))
    architecture = {"model_type": "gpt2", "n_embd": 32, "n_layer": 1, "n_head": 2, "n_positions": 40}
    options["llm"] = {"name": "llama", "tokenizer": str(tokenizer_folder), "attention": "eager"}
    options["llm"]["architecture"] = architecture
    model = AnyToAnyModel.from_config({"model": options})
    asked = Conversation([Message("user", "hello")])
    with torch.no_grad():  # never the end of an answer by itself
        model.llm.lm.get_output_embeddings().weight[model.llm.tokenizer.eos_id] = 0
        model.llm.new_output_rows.zero_()
        model.llm.lm.transformer.ln_f.bias.add_(1)
        model.llm.lm.get_output_embeddings().weight[7] += 1
    answer = model.generate(asked, max_new_tokens=100)
    assert isinstance(answer, Message)
    prompt = [i for piece in model.llm.tokenizer.render(asked.messages, open_answer=True) for i in piece.ids]
    assert len(model.llm.tokenizer.encode(answer.text)) <= 40 - len(prompt)
    assert answer.text
    size = model.tags["image"].made + 2
    room = (40 - len(prompt)) // size
    made = model.generate(asked, plan=["image"] * room, decode=False)
    assert isinstance(made, Message)
    assert len(made.media) == room
    with pytest.raises(ConversationError, match="no room is left for the image"):
        model.generate(asked, plan=["image"] * (room + 1), decode=False)
    with pytest.raises(AnyloomError, match="the limit is 40"):
        model.generate(Conversation([Message("user", "hello " * 40)]))


def test_wrong_sources_give_one_clear_error(tokenizer_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"nowhere: there is no such folder.*download: true"):
        model_from(tmp_path / "nowhere")
    options = model_options(tokenizer_folder, ("image",))
    options["llm"] = llm_options(tokenizer_folder)
    options["llm"]["architecture"]["vocab_size"] = 100
    with pytest.raises(ConfigError, match="the tokenizer has 320 entries, the model only 100 rows"):
        AnyToAnyModel.from_config({"model": options})
    options["llm"] = {"name": "llama"}
    with pytest.raises(ConfigError, match="give 'weights', or an 'architecture'"):
        AnyToAnyModel.from_config({"model": options})
