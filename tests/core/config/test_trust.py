"""Saved models and strangers' configs name no code: nothing of theirs is imported, whatever they say."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from anyloom import AnyToAnyModel
from anyloom.building import component_class, registered_names_only
from anyloom.cli.main import main
from anyloom.config.compose import compose
from anyloom.config.saved import read_record
from anyloom.errors import AnyloomError, CheckpointError, ConfigError, PluginError, UnknownNameError
from anyloom.media import conversation_from_json

FILES = json.dumps({"model.safetensors": "0" * 64})
PATH = "canary_package.thing.Thing"


@pytest.fixture
def canary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A package that leaves a file when it is imported; fails the test if it was."""
    package = tmp_path / "path" / "canary_package"
    package.mkdir(parents=True)
    trace = tmp_path / "imported"
    (package / "__init__.py").write_text(f"open({str(trace)!r}, 'w')")
    (package / "thing.py").write_text("class Thing: pass")
    monkeypatch.syspath_prepend(str(package.parent))
    yield
    assert not trace.exists(), "it was imported"


def save(folder: Path, model: Any, **more: Any) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(
        json.dumps({"format": 2, "model": model, "references": {}, "files": json.loads(FILES), **more})
    )
    return folder


PLACES = [
    {"llm": {"class_path": PATH}},
    {"llm": {"name": PATH}},
    {"llm": {"name": "llama"}, "encoders": {"eye": {"class_path": PATH}}},
    {"llm": {"name": "llama"}, "decoders": {"brush": {"name": PATH}}},
    {
        "llm": {"name": "llama"},
        "modalities": {
            "image": {"encoder": "x", "representation": {"name": "autoregressive", "input_projector": {"name": PATH}}}
        },
    },
    {"llm": {"name": "llama", "architecture": {"x": [{"class_path": PATH}]}}},
    {"llm": PATH},
    {"llm": {"name": "llama"}, "encoders": {"eye": PATH}},
]


@pytest.mark.parametrize("model", PLACES)
def test_a_saved_model_imports_nothing(model: Any, tmp_path: Path, canary: None) -> None:
    folder = save(tmp_path / "model", model)
    with pytest.raises(AnyloomError):
        AnyToAnyModel.from_pretrained(folder)
    for words in (["generate", str(folder), "--text", "a"], ["evaluate", str(folder)]):
        assert main([*words, "--output", str(tmp_path / "out")]) == 2


@pytest.mark.parametrize("model", [m for m in PLACES if all(isinstance(v, dict) for v in m.values())][:6])
def test_a_config_that_builds_on_a_saved_model_imports_nothing_of_it(model: Any, tmp_path: Path, canary: None) -> None:
    folder = str(save(tmp_path / "model", model))
    for sources in ([folder], [{"trainer": {}}, folder]):
        with pytest.raises(CheckpointError, match="names code to import"):
            compose(sources)
        assert compose(sources, trust=True)["model"] == model


def test_with_trust_it_is_imported() -> None:
    assert component_class("encoder", "parts.PatchEncoder").__name__ == "PatchEncoder"
    with registered_names_only(), pytest.raises(PluginError, match="only registered names"):
        component_class("encoder", "parts.PatchEncoder")
    with registered_names_only(), registered_names_only(False), pytest.raises(PluginError, match="registered names"):
        component_class("encoder", "parts.PatchEncoder")


def test_data_imports_nothing(canary: None) -> None:
    part = {"type": PATH, "path": "x"}
    with pytest.raises(UnknownNameError):
        conversation_from_json([{"role": "user", "content": [part]}])


STRANGE = [
    {"model": {"encoders": {"eye": {"class_path": PATH}}}},
    {"module": {"name": PATH}},
    {"data": {"datasets": {"x": {"name": PATH}}}},
    {"trainer": {"callbacks": [{"class_path": PATH}]}},
    {"trainer": {"logger": {"class_path": PATH}}},
    {"trainer": {"logger": PATH}},
    {"trainer": {"strategy": PATH}},
    {"trainer": {"callbacks": ["x", PATH]}},
    {"trainer": {"profiler": "elsewhere/profiler.yaml"}},
    {"variables": {"x": {"class_path": PATH}}, "trainer": {"logger": "${variables.x}"}},
]


@pytest.mark.parametrize("sections", STRANGE)
def test_a_safe_config_imports_nothing(sections: Any, tmp_path: Path, canary: None) -> None:
    with pytest.raises(ConfigError, match=r"name.? code"):
        compose([sections], safe=True)
    file = tmp_path / "config.yaml"
    file.write_text(json.dumps(sections))
    for command in ("check", "fit", "validate", "test", "predict"):
        assert main([command, str(file), "--safe"]) == 2


def test_a_safe_config_of_names_passes() -> None:
    assert compose(["mini"], ["trainer.precision=16-mixed", "trainer.limit_val_batches='0.5'"], safe=True)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[" * 900 + "]" * 900, "deeply"),
        ('{"format": 2, "model": ' + '{"a":' * 100 + "1" + "}" * 101, "deeply"),
        ("[]", "should be a mapping"),
        ('"model"', "should be a mapping"),
        ("9" * 5000, "not JSON"),
        ('{"format": 2}', "files"),
        ('{"format": 2, "model": [], "files": FILES}', "model should be a mapping"),
        ('{"format": 2, "model": {}, "references": [1], "files": FILES}', "references should be"),
        ('{"format": 2, "model": {}, "references": {"llm": ["a"]}, "files": FILES}', "references.llm should be"),
        ('{"format": 2, "model": {}, "files": ["a"]}', "files"),
        ('{"format": 2, "model": {}, "files": {"a": 3}}', "a"),
        ('{"format": 2, "model": {}, "files": {"../a": "0"}}', "../a"),
        ('{"format": 2, "model": {}, "files": {"/etc/passwd": "0"}}', "/etc/passwd"),
        ('{"format": 2, "model": {"llm": {"tokenizer": "@/../../x"}}, "files": FILES}', "outside"),
        ('{"format": 2, "model": {"llm": {"tokenizer": "@//etc"}}, "files": FILES}', "outside"),
        ('{"format": [], "model": {}}', "format"),
        ('{"format": 2, "model": {}}' + " " * 17_000_000, "bytes"),
        ("\\ud800", "not JSON"),
    ],
)
def test_a_damaged_record_is_one_line(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(text.replace("FILES", FILES))
    with pytest.raises(CheckpointError) as caught:
        read_record(tmp_path)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_expressions_in_a_saved_model_stay_texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANYLOOM_TEST_TOKEN", "s3cret")
    folder = save(tmp_path / "model", {"llm": {"name": "llama", "template": r"${oc.env:ANYLOOM_TEST_TOKEN} \${a}"}})
    assert compose([str(folder)])["model"]["llm"]["template"] == r"${oc.env:ANYLOOM_TEST_TOKEN} \${a}"
