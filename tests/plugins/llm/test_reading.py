"""Architectures that users write and folders that others publish: data, checked, never code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from anyloom.errors import AnyloomError, CheckpointError, ConfigError
from anyloom_llama.llm import CausalLM
from anyloom_llama.probe import behaviour
from anyloom_llama.tokenizer import ChatTokenizer

LLAMA: dict[str, Any] = {
    "model_type": "llama",
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
}
GPT2: dict[str, Any] = {"model_type": "gpt2", "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64}


def made(tokenizer: Path, architecture: dict[str, Any], **more: Any) -> CausalLM:
    with torch.device("meta"):
        return CausalLM.from_options({"tokenizer": str(tokenizer), "architecture": architecture, **more})


@pytest.mark.parametrize(
    ("architecture", "says"),
    [
        (
            {**LLAMA, "hiden_size": 32},
            "architecture.hiden_size: llama has no option 'hiden_size'.*did you mean 'hidden_size'",
        ),
        ({**GPT2, "n_embed": 32}, "architecture.n_embed: gpt2 has no option 'n_embed'.*did you mean 'n_embd'"),
        ({**GPT2, "hidden_size": 64}, "architecture.hidden_size: gpt2 calls this 'n_embd', which is given as well"),
        ({**LLAMA, "n_positions": 64}, "architecture.n_positions: llama has no option"),
        ({**LLAMA, "auto_map": {"AutoConfig": "evil.Config"}}, "architecture.auto_map: llama has no option 'auto_map'"),
        (
            {**LLAMA, "_attn_implementation_internal": "evil/kernel"},
            "llama has no option '_attn_implementation_internal'",
        ),
        ({**LLAMA, "hidden_size": "big"}, "architecture: llama cannot have these options .*hidden_size"),
        ({**LLAMA, "num_attention_heads": 0}, "architecture"),
        ({**LLAMA, "num_attention_heads": 5}, "architecture"),
        ({**LLAMA, "num_key_value_heads": 3}, "num_key_value_heads: 4 heads cannot share 3 keys evenly.*divisor of 4"),
        ({**LLAMA, "num_hidden_layers": 10**5}, "num_hidden_layers: 100000 is no possible value.*1 to 1,000"),
        ({**LLAMA, "vocab_size": "many"}, "architecture: llama cannot have these options .*vocab_size"),
        ({**LLAMA, "vocab_size": 2**40}, "vocab_size: 1099511627776 is no possible value"),
        ({**LLAMA, "rope_parameters": {"rope_type": "nosuch"}}, "architecture"),
        (
            {**LLAMA, "hidden_act": "nosuch"},
            "architecture: 'llama' cannot be built with these options .KeyError: 'nosuch'.",
        ),
        ({"model_type": "lama"}, "architecture.model_type: no architecture is called 'lama'.*did you mean 'llama'"),
        ({"hidden_size": 32}, "'architecture' needs a 'model_type'"),
    ],
    ids=lambda value: "" if isinstance(value, str) else ",".join(str(k) for k in list(value)[-1:]),
)
def test_options_that_a_family_does_not_have_are_refused_by_name(
    tokenizer_folder: Path, architecture: dict[str, Any], says: str
) -> None:
    with pytest.raises(ConfigError, match=says) as caught:
        made(tokenizer_folder, architecture)
    assert "\n" not in str(caught.value)


def test_all_wrong_options_are_named_at_once(tokenizer_folder: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        made(tokenizer_folder, {**LLAMA, "n_layers": 2, "typo": 1})
    assert [p.where for p in caught.value.parts] == ["architecture.n_layers", "architecture.typo"]


def test_names_of_older_files_and_aliases_are_known(tokenizer_folder: Path) -> None:
    llm = made(tokenizer_folder, {**LLAMA, "rope_theta": 5e5, "rope_scaling": {"rope_type": "linear", "factor": 2.0}})
    assert llm.architecture.rope_parameters["rope_theta"] == 5e5
    assert llm.architecture.rope_parameters["factor"] == 2.0
    assert made(tokenizer_folder, {"model_type": "gpt2", "hidden_size": 32, "n_head": 4}).hidden_size == 32


@pytest.mark.parametrize("text", ["1e-5", "1E-5", "0.1e-4", "+1.e-05"])
def test_numbers_without_a_point_are_numbers(tokenizer_folder: Path, text: str) -> None:
    """YAML 1.1 takes 1e-5 for text."""
    llm = made(
        tokenizer_folder,
        {**LLAMA, "rms_norm_eps": text, "rope_parameters": {"rope_theta": "5e5", "rope_type": "default"}},
    )
    assert llm.architecture.rms_norm_eps == pytest.approx(1e-5)
    assert llm.architecture.rope_parameters["rope_theta"] == 5e5


@pytest.mark.parametrize("kind", ["bert", "roberta", "xlnet", "mamba", "llama4_text", "gemma3", "bart", "gemma3n_text"])
def test_what_is_no_causal_model_of_embeddings_is_refused_by_name(tokenizer_folder: Path, kind: str) -> None:
    says = {
        "bert": "it is not causal",
        "xlnet": "it is not causal",
        "gemma3": "use the language model in it: gemma3_text",
        "gemma3n_text": "cannot be built with these options",
    }
    with pytest.raises(ConfigError, match=says.get(kind, "cannot be used here|more than a language model")) as caught:
        made(tokenizer_folder, {"model_type": kind}, attention="eager")
    assert f"'{kind}'" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_every_family_of_transformers_is_understood_or_refused_in_one_line() -> None:
    from transformers import CONFIG_MAPPING
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    understood, refused = set(), {}
    for kind in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        try:
            config = CONFIG_MAPPING[kind]()
        except Exception:  # it has no default sizes
            continue
        try:
            behaviour(config, "eager")
            understood.add(kind)
        except ConfigError as error:
            refused[kind] = str(error)
    assert all(f"'{kind}'" in text and "\n" not in text for kind, text in refused.items())
    exact = "llama mistral mixtral qwen2 qwen3 gemma olmo2 phi phi3 stablelm starcoder2 gpt2 gpt_neo gpt_neox gptj"
    exact += " opt falcon bloom mpt glm cohere granite gemma2 gemma3_text"
    assert set(exact.split()) <= understood


@pytest.fixture
def folder(tokenizer_folder: Path, tmp_path: Path) -> Path:
    """A published checkpoint."""
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    sizes = {k: v for k, v in LLAMA.items() if k != "model_type"}
    config = AutoConfig.for_model("llama", vocab_size=320, **sizes)
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path / "folder")
    AutoTokenizer.from_pretrained(tokenizer_folder).save_pretrained(tmp_path / "folder")
    return tmp_path / "folder"


def change(file: Path, **values: Any) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))


def load(folder: Path) -> CausalLM:
    llm = CausalLM.from_options({"weights": str(folder)})
    llm.load_weights()
    return llm


def test_code_that_comes_with_a_checkpoint_is_neither_run_nor_asked_about(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    canary = tmp_path / "canary"
    code = (
        f"open({str(canary)!r}, 'w')\nfrom transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast\n"
    )
    code += "class C(LlamaConfig): pass\nclass M(LlamaForCausalLM): pass\nclass T(PreTrainedTokenizerFast): pass\n"
    (folder / "evil.py").write_text(code)
    monkeypatch.setattr("builtins.input", lambda *_: "y")
    change(folder / "config.json", auto_map={"AutoConfig": "evil.C", "AutoModelForCausalLM": "evil.M"})
    change(folder / "tokenizer_config.json", auto_map={"AutoTokenizer": ["evil.T", "evil.T"]})
    load(folder)  # transformers has classes of its own for a llama
    change(folder / "config.json", model_type="evil")
    with pytest.raises(CheckpointError, match="code that comes with a checkpoint is never run"):
        load(folder)
    assert not canary.exists()


def test_kernels_that_a_file_names_are_not_fetched(folder: Path) -> None:
    plain = load(folder)
    change(folder / "config.json", _attn_implementation_internal="evil/kernel", _experts_implementation="evil/kernel")
    change(folder / "config.json", attn_implementation="evil/kernel", nobody_reads_this=[1])
    llm = load(folder)
    assert llm.lm.config._attn_implementation == plain.lm.config._attn_implementation == "sdpa_by_sample"
    assert not hasattr(llm.lm.config, "nobody_reads_this")
    before = plain.lm.state_dict()
    assert all(torch.equal(value, before[name]) for name, value in llm.lm.state_dict().items())


DEEP = "[" * 100_000


@pytest.mark.parametrize(
    ("file", "text", "says"),
    [
        ("config.json", "[]", "folder"),
        ("config.json", DEEP, "folder"),
        ("config.json", '{"model_type": "nosuch"}', "model type 'nosuch', which transformers does not know.*never run"),
        ("config.json", "{}", "folder"),
        ("tokenizer.json", "[]", "cannot be read"),
        ("tokenizer.json", DEEP, "cannot be read"),
        ("tokenizer.json", '{"version": "1.0", "model": {"type": "nosuch"}}', "cannot be read"),
        ("tokenizer_config.json", "[1]", "cannot be read"),
        ("tokenizer_config.json", DEEP, "cannot be read"),
        ("model.safetensors", "not tensors", "truncated or not safetensors"),
        ("adapter_config.json", "{}", "this is an adapter, not a model"),
        ("model.safetensors.index.json", '{"weight_map": {"a": "../x.safetensors"}}', "is no file of this folder"),
    ],
)
def test_files_that_are_not_what_they_should_be_are_one_line(folder: Path, file: str, text: str, says: str) -> None:
    (folder / file).write_text(text)
    with pytest.raises(AnyloomError, match=says) as caught:
        load(folder)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("method", ["gptq", "awq", "fp8", "nosuch"])
def test_quantised_checkpoints_are_refused_by_method(folder: Path, method: str) -> None:
    change(folder / "config.json", quantization_config={"quant_method": method, "bits": 4})
    with pytest.raises(CheckpointError, match=rf"its weights are stored quantised \({method}\)"):
        load(folder)


def test_an_architecture_beside_weights_is_checked_too(folder: Path) -> None:
    with pytest.raises(ConfigError, match="llama has no option 'hiden_size'"):
        CausalLM.from_options({"weights": str(folder), "architecture": {**LLAMA, "hiden_size": 1}})


def test_values_that_are_no_numbers_are_refused(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    tensors = load_file(folder / "model.safetensors")
    tensors["model.norm.weight"][3] = torch.nan
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(CheckpointError, match=r"1 of its tensors hold NaN or infinite values: model.norm.weight"):
        load(folder)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"lora": {"targets": ["nosuch"]}}, "lora.targets: no layer can be adapted .*nosuch.*use some of .*q_proj"),
        ({"architecture": {**GPT2, "model_type": "nanochat"}, "lora": {}}, "architecture"),
        ({"attention": "flash"}, "attention"),
    ],
)
def test_options_that_do_not_go_with_the_architecture_are_one_line(
    tokenizer_folder: Path, options: dict[str, Any], says: str
) -> None:
    with pytest.raises(ConfigError, match=says) as caught:
        made(tokenizer_folder, **{"architecture": LLAMA, **options})
    assert all("\n" not in str(part) for part in caught.value.parts)


def test_templates_cannot_reach_python(folder: Path) -> None:
    """Chat templates are code of a stranger; transformers runs them in a sandbox."""
    change(folder / "tokenizer_config.json", chat_template="{{ ''.__class__.__mro__[1].__subclasses__() }}")
    (folder / "chat_template.jinja").unlink(missing_ok=True)
    with pytest.raises(AnyloomError, match="the chat template refuses") as caught:
        load(folder)
    assert "\n" not in str(caught.value)


def test_both_names_are_one_component(tokenizer_folder: Path) -> None:
    from anyloom.building import build

    options = {"tokenizer": str(tokenizer_folder), "architecture": LLAMA}
    for name in ("causal-lm", "llama"):
        llm = build("llm", name, options)
        assert isinstance(llm, CausalLM)
        assert isinstance(llm.tokenizer, ChatTokenizer)
