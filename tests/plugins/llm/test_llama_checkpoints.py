"""Checkpoints that are not there yet, broken or of another model; what is trained and in which precision."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from anyloom import AnyToAnyModel, Conversation, Message
from anyloom.checking.inspection import inspect_model
from anyloom.checking.preflight import look_over
from anyloom.errors import CheckpointError, ConfigError
from anyloom.interfaces import Sample
from anyloom.network.config import ModelConfig
from anyloom.options import validate
from anyloom_llama.llm import CausalLM
from parts import model_options, picture

TINY = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
LLAMA_2_7B = {
    "model_type": "llama",
    "vocab_size": 32000,
    "hidden_size": 4096,
    "intermediate_size": 11008,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "max_position_embeddings": 4096,
}
CONVERSATION = Conversation(
    [Message("user", ["make it blue ", picture(0)]), Message("assistant", ["and ", picture(1)])]
)


@pytest.fixture
def checkpoint(tokenizer_folder: Path, tmp_path: Path) -> Path:
    """A tiny Llama folder as transformers writes it."""
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    folder = tmp_path / "checkpoint"
    AutoModelForCausalLM.from_config(AutoConfig.for_model("llama", vocab_size=320, **TINY)).save_pretrained(folder)
    AutoTokenizer.from_pretrained(tokenizer_folder).save_pretrained(folder)
    return folder


def options(weights: Path, **llm: Any) -> dict[str, Any]:
    made = model_options(weights, ("image",))
    made["llm"] = {"name": "llama", "weights": str(weights), "attention": "eager", **llm}
    return made


def model_from(weights: Path, **llm: Any) -> AnyToAnyModel:
    return AnyToAnyModel.from_config({"model": options(weights, **llm)})


def loss_of(model: AnyToAnyModel) -> torch.Tensor:
    return model(model.collator()([Sample(CONVERSATION, "test")])).total()


def change(folder: Path, **tensors: torch.Tensor | None) -> None:
    """Rewrite a checkpoint with tensors replaced, added, or left out where None."""
    file = folder / "model.safetensors"
    kept = {**load_file(file), **{k.replace("__", "."): v for k, v in tensors.items()}}
    save_file({k: v for k, v in kept.items() if v is not None}, file, {"format": "pt"})


def test_llama_2_7b_is_inspected_without_its_files(tmp_path: Path) -> None:
    lora = {"rank": 8, "targets": ["q_proj", "v_proj"]}
    section = options(tmp_path / "nowhere", architecture=LLAMA_2_7B, dtype="bfloat16", lora=lora)
    found = inspect_model(validate(ModelConfig, section, where="model"))
    assert found.problems == []
    (part,) = [p for p in found.parts if p.key == "model.llm"]
    adapters = 32 * 2 * 2 * 8 * 4096
    rows = 2 * 2 * 4096
    assert part.parameters == 6_738_415_616 + adapters + rows
    assert part.trainable == adapters + rows
    assert part.trainable_size == 4 * part.trainable
    assert 2 * 6_738_415_616 < part.size - 4 * part.trainable < 2.01 * 6_738_415_616
    assert [(f.path, f.present) for f in found.files] == [(tmp_path / "nowhere", False)]


def test_four_bits_take_the_memory_that_the_paper_gives(tmp_path: Path) -> None:
    """QLoRA, section 3: 4 bits and 0.127 bits of constants per weight of the linear layers."""
    common: dict[str, Any] = {"architecture": LLAMA_2_7B, "weights": str(tmp_path / "nowhere"), "dtype": "bfloat16"}
    with torch.device("meta"):
        packed = CausalLM.from_options(common, freeze=True, load_in_4bit=True)
    linear = 32 * (4 * 4096 * 4096 + 3 * 4096 * 11008)
    others = 2 * (6_738_415_616 - linear)
    assert (packed.stored_bytes() - others) * 8 / linear == pytest.approx(4.127, abs=0.001)


def test_eight_bits_take_a_byte_a_weight_and_a_scale_a_row(tmp_path: Path) -> None:
    common: dict[str, Any] = {"architecture": LLAMA_2_7B, "weights": str(tmp_path / "nowhere"), "dtype": "bfloat16"}
    with torch.device("meta"):
        packed = CausalLM.from_options(common, freeze=True, load_in_8bit=True)
        plain, trained = (CausalLM.from_options(common, freeze=freeze) for freeze in (True, False))
    linear = 32 * (4 * 4096 * 4096 + 3 * 4096 * 11008)
    rows = 32 * (4 * 4096 + 2 * 11008 + 4096)
    others = 2 * (6_738_415_616 - linear)
    assert packed.stored_bytes() - others == pytest.approx(linear + 4 * rows, abs=1000)  # frequencies of positions
    assert plain.memory_choices() == {
        "load_in_8bit: true": packed.stored_bytes(),
        "load_in_4bit: true": packed.memory_choices()["load_in_4bit: true"],
    }
    assert trained.memory_choices() == {}


def test_files_that_are_there_count_more_than_the_architecture(checkpoint: Path) -> None:
    model = model_from(checkpoint, architecture=LLAMA_2_7B)
    assert model.llm.hidden_size == 32
    assert torch.isfinite(loss_of(model))


def test_training_without_the_files_is_one_line(tmp_path: Path) -> None:
    architecture = {"model_type": "llama", "vocab_size": 320, **TINY}
    with pytest.raises(CheckpointError, match=r"nowhere: there is no such folder.*download: true") as caught:
        model_from(tmp_path / "nowhere", architecture=architecture)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("tensors", "says"),
    [
        ({"lm_head__weight": None}, "1 keys missing: lm_head.weight"),
        ({"model__extra": torch.zeros(2)}, "1 keys unexpected: model.extra"),
        ({"model__norm__weight": torch.zeros(3)}, r"1 shapes wrong: .*model.norm.weight"),
    ],
    ids=["missing", "extra", "shape"],
)
def test_other_tensors_are_refused(checkpoint: Path, tensors: dict[str, Any], says: str) -> None:
    change(checkpoint, **tensors)
    with pytest.raises(CheckpointError, match=says) as caught:
        model_from(checkpoint)
    assert "\n" not in str(caught.value)


def test_positions_that_old_checkpoints_store_are_no_fault(checkpoint: Path) -> None:
    change(checkpoint, model__layers__0__self_attn__rotary_emb__inv_freq=torch.ones(4))
    assert torch.isfinite(loss_of(model_from(checkpoint)))


def test_broken_folders_are_refused(checkpoint: Path, tmp_path: Path) -> None:
    architecture = {"model_type": "llama", "vocab_size": 320, **TINY}
    weights = checkpoint / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match="truncated or not safetensors"):
        model_from(checkpoint)
    weights.unlink()
    with pytest.raises(CheckpointError, match="cannot be read"):
        model_from(checkpoint)
    (tmp_path / "other").mkdir()
    with pytest.raises(CheckpointError, match=r"other.* cannot be read"):
        model_from(tmp_path / "other", architecture=architecture)


@pytest.mark.parametrize(
    ("llm", "says"),
    [
        ({"load_in_4bit": True}, "weights in 4 bits cannot be trained; add 'lora'"),
        ({"load_in_8bit": True}, "weights in 8 bits cannot be trained; add 'lora'"),
        ({"load_in_4bit": True, "load_in_8bit": True}, "weights are held in 4 bits or in 8"),
        ({"attention": "flash_attention_2"}, "flash attention computes in half precision"),
    ],
)
def test_options_that_contradict_each_other_are_named(checkpoint: Path, llm: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=f"model.llm.{next(iter(llm))}: {says}"):
        model_from(checkpoint, **llm)


@pytest.mark.skipif(torch.cuda.is_available(), reason="says what is missing without a GPU")
def test_four_bits_without_a_gpu_are_refused_with_the_reason(checkpoint: Path) -> None:
    with pytest.raises(ConfigError, match=r"4-bit weights need a GPU: on a CPU, gradients .* silently wrong"):
        model_from(checkpoint, load_in_4bit=True, lora={"rank": 2})
    with pytest.raises(ConfigError, match=r"load_in_8bit: 8-bit weights need a GPU.* 'load_in_8bit: false'") as caught:
        model_from(checkpoint, load_in_8bit=True, freeze=True)
    assert "\n" not in str(caught.value)


def test_flash_attention_that_is_not_installed_is_named(checkpoint: Path) -> None:
    try:
        import flash_attn  # noqa: F401
    except ImportError:
        with pytest.raises(ConfigError, match=r"model.llm.attention: flash attention is not installed.*sdpa"):
            model_from(checkpoint, attention="flash_attention_2", dtype="bfloat16")
    else:
        pytest.skip("flash attention is installed")


@pytest.mark.parametrize("llm", [{"freeze": True}, {"lora": {"rank": 2}}], ids=str)
def test_checkpointing_changes_no_gradient_of_what_is_trained(checkpoint: Path, llm: dict[str, Any]) -> None:
    gradients = []
    for checkpointing in (False, True):
        torch.manual_seed(0)
        model = model_from(checkpoint, gradient_checkpointing=checkpointing, **llm)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if "lora_B" in name:
                    parameter.fill_(0.1)
        loss_of(model).backward()
        gradients.append({n: p.grad for n, p in model.named_parameters() if p.grad is not None})
    assert gradients[0].keys() == gradients[1].keys()
    assert any(n.startswith("parts.representations") and g.abs().sum() > 0 for n, g in gradients[1].items())
    assert any("lora_A" in n and g.abs().sum() > 0 for n, g in gradients[1].items()) == ("lora" in llm)
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradient, gradients[1][name], atol=1e-6, rtol=1e-4)


def test_adapters_are_float32_in_a_half_precision_model(checkpoint: Path) -> None:
    model = model_from(checkpoint, dtype="bfloat16", lora={"rank": 2})
    kinds = {n: p.dtype for n, p in model.llm.named_parameters()}
    assert {d for n, d in kinds.items() if "lora_" in n or n.startswith("new_")} == {torch.float32}
    assert {d for n, d in kinds.items() if "lora_" not in n and n.startswith("lm.")} == {torch.bfloat16}
    assert torch.isfinite(loss_of(model))


def test_added_rows_train_alone_with_an_untied_head(checkpoint: Path) -> None:
    model = model_from(checkpoint, freeze=True)
    head, table = model.llm.lm.get_output_embeddings().weight, model.llm.lm.get_input_embeddings().weight
    assert head.data_ptr() != table.data_ptr()
    before = {n: p.clone() for n, p in model.llm.named_parameters()}
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=1.0)
    loss_of(model).backward()
    optimizer.step()
    moved = {n for n, p in model.llm.named_parameters() if not torch.equal(p, before[n])}
    assert moved == {"new_input_rows", "new_output_rows"}


def test_check_refuses_four_bits_on_a_cpu(tmp_path: Path) -> None:
    llm = {"architecture": LLAMA_2_7B, "lora": {}, "load_in_4bit": True}
    section = {"model": options(tmp_path / "nowhere", **llm)}
    wrong = look_over([{**section, "trainer": {"accelerator": "cpu"}}]).problems
    assert [p.what for p in wrong if "4bit" in p.what] == [
        "llm.load_in_4bit needs a GPU: on a CPU its gradients can be silently wrong; set it to false"
    ]
    assert not any("4bit" in p.what for p in look_over([section]).problems)
    llm = {"architecture": LLAMA_2_7B, "lora": {}, "load_in_8bit": True}
    section = {"model": options(tmp_path / "nowhere", **llm), "trainer": {"accelerator": "cpu"}}
    assert any("llm.load_in_8bit needs a GPU" in p.what for p in look_over([section]).problems)
