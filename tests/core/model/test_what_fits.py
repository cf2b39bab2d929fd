"""Where a saved model does not fit, the parts that do are named; where a modality is missing, it is named."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from anyloom import AnyToAnyModel
from anyloom.errors import CheckpointError, ConfigError
from anyloom.model.saving import start_from


def built(tokenizer_folder: Path, kind: str, **sizes: int) -> AnyToAnyModel:
    torch.manual_seed(0)
    llm = {"name": "causal-lm", "tokenizer": str(tokenizer_folder), "architecture": {"model_type": kind, **sizes}}
    eye = {"name": "conv", "size": 8, "grid": 4, "layout_dim": 2, "meaning_dim": 2, "widths": [8]}
    model = {"llm": llm, "encoders": {"eye": eye}, "modalities": {"image": {"encoder": "eye"}}}
    return AnyToAnyModel.from_config({"model": model})


def test_another_language_model_is_told_what_it_may_take_over(tmp_path: Path, tokenizer_folder: Path) -> None:
    built(tokenizer_folder, "gpt2", n_embd=16, n_layer=1, n_head=2, n_positions=64).save_pretrained(tmp_path / "one")
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    other = built(tokenizer_folder, "llama", **sizes)
    with pytest.raises(CheckpointError) as caught:
        start_from(other.parts, tmp_path / "one")
    said = f"start_from: {{folder: {tmp_path / 'one'}, parts: [encoders.eye, representations.image]}}"
    assert said in str(caught.value)
    assert "do not belong to this model" in str(caught.value)
    assert start_from(other.parts, tmp_path / "one", ["encoders.eye", "representations.image"]) == ["llm"]


def test_a_missing_modality_is_named(tokenizer_folder: Path) -> None:
    model = built(tokenizer_folder, "gpt2", n_embd=16, n_layer=1, n_head=2, n_positions=64)
    for asked in (model.encoder, model.decoder):
        with pytest.raises(ConfigError, match=r"no modality 'audio'. To fix: ask for those that it has \(image\)"):
            asked("audio")
