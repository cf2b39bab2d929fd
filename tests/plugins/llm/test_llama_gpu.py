"""What only an accelerator shows: half precision, 4 bits, a QLoRA step, flash attention."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
import torch

from anyloom import AnyToAnyModel, Conversation, Message
from anyloom.interfaces import LLMInputs, Sample
from parts import model_options, picture

DEVICE = "cuda"
CONVERSATION = Conversation(
    [Message("user", ["make it blue ", picture(0)]), Message("assistant", ["and ", picture(1)])]
)
LONGER = Conversation([*CONVERSATION.messages, Message("user", ["a red heart " * 5]), Message("assistant", "hello")])

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an accelerator"),
    pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning"),
]
needs_bitsandbytes = pytest.mark.skipif(
    importlib.util.find_spec("bitsandbytes") is None, reason="bitsandbytes is not installed"
)
needs_flash = pytest.mark.skipif(importlib.util.find_spec("flash_attn") is None, reason="flash-attn is not installed")


@pytest.fixture
def checkpoint(tokenizer_folder: Path, tmp_path: Path) -> Path:
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    folder = tmp_path / "checkpoint"
    config = AutoConfig.for_model(
        "llama", vocab_size=320, hidden_size=256, intermediate_size=512, num_hidden_layers=2, num_attention_heads=4
    )
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    AutoTokenizer.from_pretrained(tokenizer_folder).save_pretrained(folder)
    return folder


def model_from(checkpoint: Path, **llm: Any) -> AnyToAnyModel:
    options = model_options(checkpoint, ("image",))
    options["llm"] = {"name": "llama", "weights": str(checkpoint), **llm}
    torch.manual_seed(0)
    return AnyToAnyModel.from_config({"model": options}).to(DEVICE)


def loss_of(model: AnyToAnyModel, *conversations: Conversation) -> torch.Tensor:
    from lightning.fabric.utilities import move_data_to_device

    batch = model.collator()([Sample(c, "test") for c in conversations or (CONVERSATION,)])
    loss: torch.Tensor = model(move_data_to_device(batch, torch.device(DEVICE))).total()
    return loss


def logits_of(model: AnyToAnyModel) -> torch.Tensor:
    ids = torch.tensor([model.llm.tokenizer.encode("what is this? hello there")], device=DEVICE)
    positions = torch.arange(ids.shape[1], device=DEVICE)
    everywhere = torch.stack([torch.zeros_like(positions), positions], 1)
    with torch.no_grad():
        output = model.llm(LLMInputs(ids, positions[None], torch.ones_like(ids), logits_at=everywhere))
    return output.logits.float()[..., :320]


def test_bfloat16_agrees_with_float32_trains_and_generates(checkpoint: Path) -> None:
    full, half = model_from(checkpoint), model_from(checkpoint, dtype="bfloat16", lora={"rank": 2})
    close = torch.nn.functional.cosine_similarity(logits_of(full), logits_of(half), dim=-1)
    assert close.min() > 0.99
    loss_of(half).backward()
    assert all(torch.isfinite(p.grad).all() for p in half.parameters() if p.grad is not None)
    answer = half.generate(CONVERSATION.prompt(), media={"image": "force"}, max_new_tokens=2)
    assert isinstance(answer, Message)
    assert answer.media[0].features is not None


@needs_bitsandbytes
@pytest.mark.parametrize(("option", "kind"), [("load_in_4bit", "Params4bit"), ("load_in_8bit", "Int8Params")])
def test_few_bits_stay_near_the_weights_they_came_from(checkpoint: Path, option: str, kind: str) -> None:
    full = model_from(checkpoint)
    packed = model_from(checkpoint, freeze=True, **{option: True})
    kinds = {type(p).__name__ for n, p in packed.llm.lm.named_parameters() if "q_proj" in n}
    assert kinds == {kind}
    close = torch.nn.functional.cosine_similarity(logits_of(full), logits_of(packed), dim=-1)
    assert 0.9 < close.min() < 0.999999


@needs_bitsandbytes
def test_a_qlora_step_moves_adapters_only_and_survives_saving(checkpoint: Path, tmp_path: Path) -> None:
    model = model_from(checkpoint, load_in_4bit=True, dtype="bfloat16", lora={"rank": 4}, gradient_checkpointing=True)
    base = {n: p.clone() for n, p in model.llm.lm.named_parameters() if "lora_" not in n}
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    losses = []
    for _ in range(10):
        loss = loss_of(model)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
        model.eval()
        logits_of(model)  # where a CPU would spoil later gradients
        model.train()
    assert losses[-1] < losses[0]
    assert all(torch.equal(p, base[n]) for n, p in model.llm.lm.named_parameters() if n in base)
    model.eval().save_pretrained(tmp_path / "saved")
    assert (tmp_path / "saved" / "model.safetensors").stat().st_size < 400_000
    loaded = AnyToAnyModel.from_pretrained(tmp_path / "saved", trust=True).to(DEVICE)
    torch.testing.assert_close(loss_of(loaded), loss_of(model))


@needs_flash
def test_flash_attention_agrees_with_sdpa_on_padded_batches(checkpoint: Path) -> None:
    common: dict[str, Any] = {"dtype": "bfloat16", "freeze": True}
    flash = model_from(checkpoint, attention="flash_attention_2", **common)
    plain = model_from(checkpoint, attention="sdpa", **common)
    flash.parts.load_state_dict(plain.parts.state_dict())
    losses = [loss_of(m, CONVERSATION, LONGER) for m in (flash, plain)]
    torch.testing.assert_close(losses[0], losses[1], rtol=2e-2, atol=1e-2)
    losses[0].backward()
    gradients = [p.grad for p in flash.parameters() if p.grad is not None]
    assert gradients
    assert all(torch.isfinite(g).all() for g in gradients)
