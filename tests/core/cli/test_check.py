from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any

import pytest

from anyloom import AnyToAnyModel
from anyloom.checking.inspection import inspect_model
from anyloom.checking.preflight import look_over
from anyloom.cli.main import main
from anyloom.discovery import get_registry, hookimpl
from anyloom.network.config import ModelConfig
from anyloom.options import validate
from parts import DIM, image_decoder_options
from projects import brush_sections, write_config


@pytest.fixture
def config(tmp_path: Path) -> dict[str, Any]:
    return brush_sections(tmp_path)


def check(folder: Path, sections: dict[str, Any], *overrides: str) -> int:
    return main(["check", write_config(folder, sections), *overrides])


def test_a_good_config_passes_and_shows_what_it_builds(
    tmp_path: Path, config: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert check(tmp_path, config) == 0
    out = capsys.readouterr().out
    for shown in ("model.llm", "llama", "model.decoders.brush", "sd-unclip", "patch-image", "Memory", "activations"):
        assert shown in out
    assert out.splitlines()[-1] == "ok"


def test_counts_and_memory_are_those_of_the_real_model(config: dict[str, Any]) -> None:
    real = AnyToAnyModel(validate(ModelConfig, config["model"], where="model"))
    found = inspect_model(real.config)
    trainable = [p for p in real.parameters() if p.requires_grad]
    assert sum(p.parameters for p in found.parts) == sum(p.numel() for p in real.parameters())
    assert sum(p.trainable for p in found.parts) == sum(p.numel() for p in trainable)
    sizes = [t.numel() * t.element_size() for t in (*real.parameters(), *real.buffers())]
    assert sum(p.size for p in found.parts) == sum(sizes)
    assert sum(p.trainable_size for p in found.parts) == 4 * sum(p.numel() for p in trainable)
    assert found.model is not None
    assert all(p.is_meta for p in found.model.parameters())


def test_the_json_form_is_stable(tmp_path: Path, config: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert check(tmp_path, config, "--json") == 0
    value = json.loads(capsys.readouterr().out)
    assert list(value) == ["ok", "problems", "missing_files", "made_files", "notes", "stages", "models", "files"]
    assert value["ok"] is True
    (model,) = value["models"]
    assert list(model) == ["stage", "parts", "feature_spaces", "memory", "choices"]
    parts = {p["key"]: p for p in model["parts"]}
    keys = ["key", "component", "package", "licence", "parameters", "trainable", "bytes", "networks", "working"]
    assert all(list(p) == keys for p in parts.values())
    assert parts["model.encoders.eye"]["package"] == "parts"
    assert parts["model.decoders.brush"]["trainable"] == 0
    assert set(parts["model.decoders.brush"]["networks"]) == {"unet", "autoencoder"}
    assert parts["model.modalities.image.representation"]["component"] == "autoregressive"
    assert model["feature_spaces"]["image"] == {
        "name": "patch-image", "dim": DIM, "tokens": 1, "scale": "raw", "codes": None
    }  # fmt: skip
    memory = model["memory"]
    assert memory["inference"] == memory["weights"]
    assert memory["training"] == memory["weights"] + memory["gradients"] + memory["optimizer"]
    assert memory["optimizer"] == 2 * memory["gradients"]
    autoencoder = ["autoencoder", "autoencoder, 4 together", "autoencoder, 4 together with slicing: true"]
    assert list(parts["model.decoders.brush"]["working"]) == ["denoising", *autoencoder, "preview"]


def test_memory_of_each_choice_is_told(
    tmp_path: Path, config: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    config["model"]["decoders"]["other"] = copy.deepcopy(config["model"]["decoders"]["brush"])
    config["model"]["modalities"]["audio"] = {"encoder": "eye", "decoder": None}
    assert check(tmp_path, config, "--json") == 0
    (model,) = json.loads(capsys.readouterr().out)["models"]
    sizes, choices = {p["key"]: p["bytes"] for p in model["parts"]}, model["choices"]
    total = model["memory"]["inference"]
    assert choices["--offload"] == total - sizes["model.decoders.other"]
    assert total / 2 <= choices["--dtype bfloat16"] < 0.51 * total  # whole numbers keep their size
    assert choices["both"] == pytest.approx(choices["--offload"] / 2, rel=0.02)
    assert check(tmp_path, config) == 0
    out = capsys.readouterr().out
    assert " with --offload\n" in out
    assert "  model.decoders.brush takes beside it for one item:\n" in out
    assert re.search(r"^    \S+ [kM]B autoencoder, 4 together with slicing: true$", out, re.MULTILINE)


def test_a_decoder_of_another_feature_space_is_refused_with_both_names_and_the_key(
    tmp_path: Path, config: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert check(tmp_path, config, f"model.decoders.brush.dim={2 * DIM}") == 2
    (line,) = [x for x in capsys.readouterr().out.splitlines() if x.startswith("problem: ")]
    assert line.startswith("problem: model.modalities.image.decoder: ")
    for shown in ("'brush' (sd-unclip)", "'eye' (parts.PatchEncoder)", "dim 8 is not 16", "To fix"):
        assert shown in line


def test_every_problem_of_every_section_is_shown(tmp_path: Path, config: dict[str, Any]) -> None:
    config["modle"] = {}
    config["model"]["encoders"]["eye"]["tokns"] = 2
    config["model"]["decoders"]["brush"]["unet"]["layers_per_blok"] = 2
    config["data"]["batch_size"] = 0
    config["data"]["datasets"]["other"] = {"name": "conversatons"}
    config["trainer"]["max_stps"] = 1
    config["module"]["metrics"] = {"score": {"name": "no-such-metric"}}
    config["module"]["optimizer"]["lrr"] = 1
    config["stages"] = {"late": {"trainer": {"max_steps": "soon"}}}
    keys = [p.where for p in look_over([config]).problems]
    assert sorted(keys) == sorted(
        [
            "modle",
            "data.batch_size",
            "trainer.max_stps",
            "trainer.max_steps",
            "model.encoders.eye.tokns",
            "model.decoders.brush.unet.layers_per_blok",
            "module.optimizer.lrr",
            "module.metrics.score",
            "data.datasets.other",
        ]
    )


def test_a_part_that_needs_missing_files_is_one_line_and_the_rest_is_checked(
    tmp_path: Path, config: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert check(tmp_path, config, "model.llm.tokenizer=/no/such/folder", "model.decoders.brush.dim=4") == 2
    out = capsys.readouterr().out
    problems = [x for x in out.splitlines() if x.startswith("problem: ")]
    assert [p.split()[1] for p in problems] == ["model.llm:", "model.modalities.image.decoder:"]
    assert "model.encoders.eye" in out


def test_a_broken_component_is_a_line_and_no_traceback(tmp_path: Path, config: dict[str, Any]) -> None:
    config["model"]["encoders"]["eye"] = {"class_path": "projects.BrokenEncoder"}
    (problem,) = look_over([config]).problems
    assert problem.where == "model.encoders.eye"
    assert "RuntimeError: out of order" in problem.what


def test_missing_files_are_listed_with_their_keys(
    tmp_path: Path, config: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    weights, lines = tmp_path / "brush", tmp_path / "nothing.jsonl"
    overrides = (f"model.decoders.brush.weights={weights}", f"data.datasets.small.val={lines}")
    assert check(tmp_path, config, *overrides) == 2
    out = capsys.readouterr().out
    assert f"missing: data.datasets.small.val: there is no {lines}" in out
    assert check(tmp_path, config, *overrides, "--json") == 2
    value = json.loads(capsys.readouterr().out)
    assert value["ok"] is False
    assert value["problems"] == []
    assert {"key": "model.decoders.brush", "path": str(weights)} in value["missing_files"]
    assert value["models"][0]["parts"]


def test_a_file_that_a_stage_writes_is_not_missing(tmp_path: Path, config: dict[str, Any]) -> None:
    config["model"]["decoders"]["brush"]["weights"] = str(tmp_path / "brush")
    config["stages"] = {"paint": {"result": str(tmp_path / "brush")}, "whole": {}}
    findings = look_over([config])
    assert findings.ok
    assert [(f.key, stage) for f, stage in findings.made] == [("model.decoders.brush", "paint")]
    assert len(findings.models) == 1


def test_a_stage_with_another_model_is_listed_apart(tmp_path: Path, config: dict[str, Any]) -> None:
    config["stages"] = {"small": {"model": {"llm": {"architecture": {"num_hidden_layers": 1}}}}}
    findings = look_over([config])
    assert list(findings.models) == ["", "small"]
    sizes = [m.parts[0].parameters for m in findings.models.values()]
    assert sizes[1] < sizes[0]


def test_parts_of_a_stage_must_fit_too(tmp_path: Path, config: dict[str, Any]) -> None:
    module = {
        "name": "feature-decoder",
        "encoder": {"class_path": "parts.PatchEncoder"},
        "decoder": image_decoder_options(dim=4),
    }
    config["stages"] = {"paint": {"module": module}}
    (problem,) = look_over([config]).problems
    assert problem.where == "module.decoder"
    assert "dim 8 is not 4" in problem.what


def test_plugins_add_checks_of_the_assembled_model(config: dict[str, Any]) -> None:
    class Plugin:
        @hookimpl
        def anyloom_checks(self, model: Any, config: dict[str, Any]) -> list[str]:
            return [
                f"{type(model).__name__} on {next(model.parameters()).device} with {len(config['trainer'])} options"
            ]

    manager = get_registry()._manager
    plugin = Plugin()
    manager.register(plugin)
    try:
        (problem,) = look_over([config]).problems
    finally:
        manager.unregister(plugin)
    assert problem.what.startswith("AnyToAnyModel on meta with ")


@pytest.mark.parametrize("answer", ["one line", 3, ValueError("oh no")])
def test_a_plugin_whose_check_fails_is_one_line(config: dict[str, Any], answer: Any) -> None:
    class Plugin:
        @hookimpl
        def anyloom_checks(self) -> Any:
            if isinstance(answer, Exception):
                raise answer
            return answer

    manager, plugin = get_registry()._manager, Plugin()
    manager.register(plugin, name="grumpy")
    try:
        (problem,) = look_over([config]).problems
    finally:
        manager.unregister(plugin)
    assert problem.where == "plugin grumpy"
    assert str(answer) in problem.what


def test_a_config_that_cannot_be_composed_is_one_problem(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(tmp_path / "no.yaml"), "--json"]) == 2
    value = json.loads(capsys.readouterr().out)
    assert [p["key"] for p in value["problems"]] == [str(tmp_path / "no.yaml")]


@pytest.mark.slow
def test_memory_of_each_process_is_told_on_request(capsys: pytest.CaptureFixture[str]) -> None:
    main(["check", "mini", "--strategy", "fsdp2", "--devices", "4", "--json"])
    ranks = {row["stage"]: row for row in json.loads(capsys.readouterr().out)["ranks"]}
    main(["check", "mini", "--strategy", "ddp", "--devices", "4", "--json"])
    whole = {row["stage"]: row for row in json.loads(capsys.readouterr().out)["ranks"]}
    assert ranks.keys() == whole.keys()
    assert len(ranks) > 1, "stages that train a decoder too"
    for stage, row in ranks.items():
        assert whole[stage]["optimizer"] / 4 <= row["optimizer"] < whole[stage]["optimizer"] / 3
        assert row["total"] == sum(row[k] for k in ("weights", "gathered", "gradients", "buckets", "optimizer"))
    main(["check", "mini", "--devices", "2"])
    assert capsys.readouterr().out.startswith("Memory of each of 2 processes under ddp, at most:")
