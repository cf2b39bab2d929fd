"""What ``anyloom export`` writes is read by transformers and peft, and gives the same scores there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from anyloom import AnyToAnyModel
from anyloom.cli.main import main
from anyloom.interfaces import LLMInputs
from anyloom.storage.tensors import read_tensors
from anyloom_llama.llm import CausalLM
from parts import model_options

FAMILIES: dict[str, dict[str, Any]] = {
    "llama": {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4},
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 128},  # tied, and layers that are transposed
    "gemma": {  # tied, and embeddings that are scaled
        **{"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4},
        **{"num_key_value_heads": 2, "head_dim": 8},
    },
}


@pytest.fixture(scope="module", params=list(FAMILIES))
def trained(request: pytest.FixtureRequest, tokenizer_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``base``, a published checkpoint, and ``model``, with adapters beside it that do something."""
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    folder = tmp_path_factory.mktemp("export")
    torch.manual_seed(0)
    config = AutoConfig.for_model(request.param, vocab_size=330, **FAMILIES[request.param])
    AutoModelForCausalLM.from_config(config).save_pretrained(folder / "base")
    AutoTokenizer.from_pretrained(tokenizer_folder).save_pretrained(folder / "base")
    options = model_options(folder / "base", ("image",))
    options["llm"] = {"name": "causal-lm", "weights": str(folder / "base"), "attention": "eager", "lora": {"rank": 2}}
    model = AnyToAnyModel.from_config({"model": options}).eval()
    with torch.no_grad():
        for name, parameter in model.llm.named_parameters():
            if "lora_B" in name:
                parameter.normal_()
    model.save_pretrained(folder / "model")
    return folder


def scores(llm: CausalLM, ids: Tensor) -> Tensor:
    at = torch.stack([torch.zeros(ids.shape[1], dtype=torch.long), torch.arange(ids.shape[1])], 1)
    with torch.no_grad():
        found = llm(LLMInputs(ids, torch.arange(ids.shape[1])[None], torch.ones_like(ids), logits_at=at)).logits
    assert found is not None
    return found


def llm_of(folder: Path) -> CausalLM:
    llm = AnyToAnyModel.from_pretrained(folder, trust=True).llm
    assert isinstance(llm, CausalLM)
    return llm


def export(trained: Path, form: str, folder: Path) -> None:
    assert main(["export", str(trained / "model"), "--to", form, "--output", str(folder), "--trust"]) == 0


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")  # peft asks transformers so
def test_peft_reads_the_adapter(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    export(trained, "peft", tmp_path / "adapter")
    assert "adapter: the low-rank adapters" in capsys.readouterr().out
    base = AutoModelForCausalLM.from_pretrained(trained / "base", attn_implementation="eager")
    ids = torch.tensor([[5, 9, 30, 7, 61]])
    with torch.no_grad():
        plain = base(ids).logits[0]
        theirs = PeftModel.from_pretrained(base, tmp_path / "adapter").eval()(ids).logits[0]
    ours = llm_of(trained / "model")
    torch.testing.assert_close(scores(ours, ids)[:, :330], theirs, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(plain, theirs, atol=1e-2)
    rows = read_tensors(tmp_path / "adapter" / "added_tokens.safetensors")
    assert torch.equal(rows["input_rows"], ours.new_input_rows)
    assert torch.equal(rows["output_rows"], ours.new_output_rows)


def test_transformers_reads_the_merged_model(trained: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    export(trained, "merged", tmp_path / "merged")
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path / "merged", attn_implementation="eager").eval()
    assert not any("lora" in name for name, _ in theirs.named_parameters())
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "merged")
    written = tokenizer("<image>a red heart</image>", add_special_tokens=False, return_tensors="pt")["input_ids"]
    begin, end = tokenizer.convert_tokens_to_ids(["<image>", "</image>"])
    assert written[0, 0] == begin
    assert written[0, -1] == end
    ours = llm_of(trained / "model")
    ids = written.clone()
    ids[0, 0], ids[0, -1] = 330, 331
    with torch.no_grad():
        found = theirs(written).logits[0]
    expected = scores(ours, ids)
    torch.testing.assert_close(found[:, :320], expected[:, :320], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(found[:, [begin, end]], expected[:, 330:], atol=1e-4, rtol=1e-4)
    assert theirs.generation_config.eos_token_id == list(ours.tokenizer.stop_ids)


def test_a_hub_folder_needs_nothing_else(trained: Path, tmp_path: Path) -> None:
    export(trained, "hub", tmp_path / "hub")
    (trained / "base").rename(trained / "elsewhere")
    try:
        moved = llm_of(tmp_path / "hub")
    finally:
        (trained / "elsewhere").rename(trained / "base")
    ids = torch.tensor([[5, 330, 30, 331, 61]])
    assert torch.equal(scores(moved, ids), scores(llm_of(trained / "model"), ids))
    card = (tmp_path / "hub" / "README.md").read_text()
    assert "library_name: anyloom" in card
    assert "| llm | causal-lm | Apache-2.0 (published weights: their own) |" in card


def test_nothing_is_written_over(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    words = ["export", str(trained / "model"), "--to", "merged", "--output", str(tmp_path / "full"), "--trust"]
    assert main(words) == 2
    assert "is there already. To fix: give a new folder" in capsys.readouterr().err
    assert [p.name for p in (tmp_path / "full").iterdir()] == ["notes.txt"]


def test_a_model_without_adapters_has_none_to_export(
    tokenizer_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    AnyToAnyModel.from_config({"model": model_options(tokenizer_folder, ("image",))}).save_pretrained(tmp_path / "m")
    assert main(["export", str(tmp_path / "m"), "--to", "peft", "--output", str(tmp_path / "out"), "--trust"]) == 2
    assert capsys.readouterr().err == (
        "error: --to peft: this model was trained without adapters. To fix: use --to merged\n"
    )
