"""A model of any family is described so that it is built again; the right configuration is transformers' own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import CONFIG_MAPPING

from anyloom import AnyToAnyModel
from anyloom_llama.architecture import as_options, from_options, from_published

_FAMILIES = (
    "bloom", "cohere", "cohere2", "deepseek_v2", "deepseek_v3", "falcon", "gemma", "gemma2", "gemma3_text", "glm",
    "glm4_moe", "gpt2", "gpt_bigcode", "gpt_neo", "gpt_neox", "gptj", "granite", "llama", "mistral", "mixtral", "mpt",
    "olmo2", "opt", "phi", "phi3", "qwen2", "qwen3", "qwen3_moe", "stablelm", "starcoder2",
)  # fmt: skip


@pytest.mark.parametrize("family", _FAMILIES)
def test_what_is_saved_describes_the_same_model(family: str) -> None:
    ours = CONFIG_MAPPING[family]()
    again = from_options(json.loads(json.dumps(as_options(ours))), None)
    assert again.to_diff_dict() == ours.to_diff_dict()


def test_an_option_of_a_family_that_begins_with_an_underscore_is_read() -> None:
    values = CONFIG_MAPPING["opt"](_remove_final_layer_norm=True).to_dict()
    assert from_published(values, where="folder")._remove_final_layer_norm is True
    kernels = {**values, "_attn_implementation": "somebody/kernel", "_name_or_path": "elsewhere"}
    assert from_published(kernels, where="folder").to_diff_dict() == from_published(values, where="f").to_diff_dict()


_SMALL: dict[str, dict[str, Any]] = {
    "opt": {"hidden_size": 16, "ffn_dim": 32, "word_embed_proj_dim": 16, "num_attention_heads": 2},
    "cohere2": {"hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 2, "num_key_value_heads": 1},
    "gpt_neo": {"hidden_size": 16, "num_layers": 1, "attention_types": [[["global"], 1]], "num_heads": 2},
}


@pytest.mark.parametrize("family", sorted(_SMALL))
def test_a_saved_model_is_read_again(family: str, tmp_path: Path, tokenizer_folder: Path) -> None:
    layers = {} if family == "gpt_neo" else {"num_hidden_layers": 1}
    architecture = {"model_type": family, "max_position_embeddings": 64, **layers, **_SMALL[family]}
    llm = {"name": "causal-lm", "attention": "eager", "tokenizer": str(tokenizer_folder), "architecture": architecture}
    torch.manual_seed(0)
    model = AnyToAnyModel.from_config({"model": {"llm": llm}})
    model.save_pretrained(tmp_path / "saved")
    again = AnyToAnyModel.from_pretrained(tmp_path / "saved").state_dict()
    assert again.keys() == model.state_dict().keys()
    assert all(torch.equal(again[name], tensor) for name, tensor in model.state_dict().items())
