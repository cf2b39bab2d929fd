"""Limits of what is read before there are options, and their environment variable."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from anyloom import AnyToAnyModel, Conversation, Message
from anyloom.building import build
from anyloom.config.compose import compose
from anyloom.config.saved import read_record
from anyloom.errors import AnyloomError, ConfigError, ConversationError
from anyloom.limits import DEFAULTS, VARIABLE, limit
from anyloom.media import conversation_from_json
from anyloom.storage.headers import describe
from anyloom.storage.tensors import write_tensors
from parts import image_decoder_options, model_options


def conversation(parts: int) -> list[dict[str, Any]]:
    return [{"role": "user", "content": [{"type": "text", "text": "a"}] * parts}]


def read_config(folder: Path, text: str) -> Any:
    (folder / "c.yaml").write_text(text)
    return compose([folder / "c.yaml"])


def read_header(folder: Path) -> Any:
    write_tensors({f"tensor-{n}": torch.zeros(1) for n in range(20)}, folder / "a.safetensors")
    return describe(folder / "a.safetensors")


def saved(folder: Path, size: int) -> Any:
    model = {"llm": {"name": "x" * size}}
    record = {"format": 2, "model": model, "references": {}, "files": {"model.safetensors": "0" * 64}}
    (folder / "config.json").write_text(json.dumps(record))
    return read_record(folder)


CASES = {
    "config-bytes=300": lambda folder: read_config(folder, "variables: {a: " + "x" * 300 + "}"),
    "config-depth=5": lambda folder: read_config(folder, "variables: {a: {b: {c: {d: {e: 1}}}}}"),
    "config-size=500": lambda folder: read_config(folder, "variables: {a: " + "x" * 300 + ", b: '${.a}'}"),
    "record-bytes=300": lambda folder: saved(folder, 300),
    "header-bytes=300": lambda folder: read_header(folder),
    "conversation-parts=3": lambda folder: conversation_from_json(conversation(4)),
    "modules=2": lambda folder: build("encoder", "conv"),
}


@pytest.mark.parametrize("case", CASES)
def test_every_limit_holds_and_is_an_option(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    CASES[case](tmp_path)
    monkeypatch.setenv(VARIABLE, f"{case},")
    with pytest.raises(AnyloomError):
        CASES[case](tmp_path)


def test_every_limit_is_tried() -> None:
    elsewhere = {"template-characters", "template-steps", "tokenizer-growth"}  # with the plugins that hold them
    assert {case.partition("=")[0] for case in CASES} == set(DEFAULTS) - elsewhere


@pytest.mark.parametrize("text", ["modul=3", "modules", "modules=-1", "modules=1e3", "modules=0"])
def test_a_wrong_variable_is_one_line(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, text)
    with pytest.raises(ConfigError, match=f"^{VARIABLE}: "):
        limit("modules")


def test_a_conversation_of_too_many_parts_is_refused_before_any_is_read() -> None:
    with pytest.raises(ConversationError, match="10,001 parts are more than the limit of 10,000"):
        conversation_from_json([{"role": "user", "content": [{"type": "nosuch", "path": "x"}] * 10_001}])


def test_a_number_in_a_file_does_not_build_for_ever(tokenizer_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "modules=2000")
    options = model_options(tokenizer_folder)
    options["decoders"] = {"brush": image_decoder_options()}
    options["decoders"]["brush"]["unet"] |= {"layers_per_block": 10**6}
    options["modalities"]["image"]["decoder"] = "brush"
    with pytest.raises(ConfigError, match=r"^model\.decoders\.brush: more than 2,000 modules are built"):
        AnyToAnyModel.from_config({"model": options})


@pytest.mark.parametrize("size", [2**40, 2**62])
def test_a_tensor_that_no_memory_holds_is_one_line(size: int) -> None:
    with pytest.raises(ConfigError, match=r"^projector 'mlp': one of its tensors does not fit into memory"):
        build("projector", "mlp", {"hidden_dim": size}, in_dim=1000, out_dim=6)


@pytest.mark.parametrize("seed", [2**70, -(2**70), 1.5, "1", True, None, [1, 2], [1.0]])
def test_what_is_no_seed_is_one_line(seed: Any, tokenizer_folder: Path) -> None:
    model = AnyToAnyModel.from_config({"model": model_options(tokenizer_folder)})
    with pytest.raises(ConfigError, match=r"^generate\.seed: "):
        model.generate(Conversation([Message("user", "a")]), seed=seed, max_new_tokens=1)
