"""Expressions in configs: what they stand for, what they may not reach, and how large they may make a config."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import anyloom_mini
from anyloom.cli.main import main
from anyloom.config.compose import compose
from anyloom.config.yaml_text import parse_yaml, write_yaml
from anyloom.errors import ConfigError
from projects import sections, write_config


def value(text: Any, **sections: Any) -> Any:
    return compose([{"variables": {"it": text, **sections}}])["variables"]["it"]


def test_keys_are_found_from_the_top_from_beside_and_in_lists() -> None:
    rows = [{"size": 3}, {"size": 4}]
    assert value("${variables.rows.1.size}", rows=rows) == 4
    assert value("${variables.rows[1].size}", rows=rows) == 4
    assert value("${.other}", other=[1]) == [1]
    assert compose([{"data": {"a": {"b": "${..c}"}, "c": 5}}])["data"]["a"]["b"] == 5


def test_expressions_within_expressions_and_texts() -> None:
    assert value("${variables.${variables.which}}", which="b", b=2) == 2
    assert value("n=${.n}, ${.on}", n=1.5, on=True) == "n=1.5, True"
    assert value(r"\${not.one} }") == "${not.one} }"


def test_what_is_referred_to_twice_is_not_shared() -> None:
    made = compose([{"variables": {"a": {"b": [1]}}, "x": "${variables.a}", "y": "${variables.a}"}])
    made["x"]["b"].append(2)
    assert made["y"] == {"b": [1]}


def test_a_package_of_a_plugin_is_found_also_in_defaults(tmp_path: Path) -> None:
    folder = Path(anyloom_mini.__file__).parent
    assert value("${package:anyloom_mini}/x") == f"{folder}/x"
    file = tmp_path / "mine.yaml"
    file.write_text("defaults: ['${package:anyloom_mini}/mini.yaml']\ntrainer: {max_steps: 7}\n")
    composed = compose([file])
    assert composed["trainer"]["max_steps"] == 7
    assert composed["model"] == compose(["mini"])["model"]


@pytest.mark.parametrize("package", ["os", "evil_package.inner", "anyloom_mini.no_such", "anyloom_mini..x", "", "a b"])
def test_no_other_package_is_looked_at(package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "evil_package" / "inner").mkdir(parents=True)
    canary = tmp_path / "canary"
    (tmp_path / "evil_package" / "__init__.py").write_text(f"open({str(canary)!r}, 'w')")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ConfigError) as caught:
        value("${package:" + package + "}")
    assert caught.value.where == "variables.it"
    assert not canary.exists()


def test_the_environment_is_read_and_never_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANYLOOM_TEST_TOKEN", "s3cret")
    made = compose([{"variables": {"token": "${oc.env:ANYLOOM_TEST_TOKEN}", "url": "a/${.token}/b", "two": "${.url}"}}])
    assert made["variables"] == {"token": "s3cret", "url": "a/s3cret/b", "two": "a/s3cret/b"}
    assert "s3cret" not in write_yaml(made)
    assert value("${oc.env:ANYLOOM_NOT_THERE,3}") == 3
    with pytest.raises(ConfigError, match="the environment has no 'ANYLOOM_NOT_THERE'"):
        value("${oc.env:ANYLOOM_NOT_THERE}")


def test_a_config_that_is_written_gives_the_same_config(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANYLOOM_TEST_TOKEN", "s3cret")
    rows = {"a": r"\${x}", "b": "${oc.env:ANYLOOM_TEST_TOKEN}/${.c}", "c": 1e-5, "d": ["${..b}"], "e": r"\\${x}"}
    made = compose([{"variables": rows}])
    assert made["variables"]["a"] == "${x}"
    written = write_yaml(made)
    assert "s3cret" not in written
    assert compose([parse_yaml(written, where="test")]) == made


def test_what_a_variable_chooses_does_not_tell_its_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANYLOOM_TEST_TOKEN", "s3cret")
    made = compose([{"variables": {"s3cret": "s3cret", "it": "${variables.${oc.env:ANYLOOM_TEST_TOKEN}}"}}])
    del made["variables"]["s3cret"]
    assert "s3cret" not in write_yaml(made)


def test_a_safe_config_reads_no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANYLOOM_TEST_TOKEN", "s3cret")
    for text in ("${oc.env:ANYLOOM_TEST_TOKEN}", "x${oc.env:ANYLOOM_NOT_THERE,1}", "${a.${oc.env:HOME}}"):
        with pytest.raises(ConfigError, match="reads no environment"):
            compose([{"variables": {"it": text}}], safe=True)


def doubling(count: int, form: str) -> dict[str, Any]:
    """Each value holds the one before twice: 2 ** count of the first."""
    rows: dict[str, Any] = {"v0": "x" * 10}
    for i in range(1, count):
        before = f"${{variables.v{i - 1}}}"
        rows[f"v{i}"] = {"text": before * 2, "list": [before] * 2, "mapping": {"a": before, "b": before}}[form]
    return rows


@pytest.mark.parametrize("form", ["text", "list", "mapping"])
def test_a_bomb_is_one_line_and_no_memory(form: str) -> None:
    with pytest.raises(ConfigError, match="too large with its expressions written out"):
        compose([{"variables": doubling(60, form)}])


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ({"a": "${variables.a}"}, "leads back to itself"),
        ({"a": "${variables}"}, "leads back to itself"),
        ({"a": ["${variables.b}"], "b": {"c": "${variables.a}"}}, "leads back to itself"),
        ({f"v{i}": f"${{variables.v{i + 1}}}" for i in range(2000)}, "more than"),
        ({f"v{i}": [f"${{variables.v{i + 1}}}"] for i in range(2000)}, "more than"),
        ({"a": "${" * 3000 + "}" * 3000}, "nested too deeply"),
        ({"a": "${variables.b"}, "without '}'"),
        ({"a": "${}"}, "no key"),
        ({"a": "${....b}"}, "no key"),
        ({"a": "${variables.b.c}", "b": 3}, "not found"),
        ({"a": "x${variables.b}", "b": [1]}, "cannot be a part of a text"),
        ({"a": "${oc.create:{}}"}, "there is no '${oc.create:...}'"),
    ],
)
def test_what_does_not_resolve_is_one_line(rows: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        compose([{"variables": rows}])
    assert message in str(caught.value)
    assert caught.value.where.startswith("variables")


def test_a_log_folder_gets_no_value_of_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANYLOOM_TEST_TOKEN", "s3cret")
    project = sections(tmp_path, max_steps=1)
    project["variables"] = {"token": "${oc.env:ANYLOOM_TEST_TOKEN}"}
    project["trainer"]["logger"][0]["init_args"]["name"] = "n"
    project["result"] = f"{tmp_path}/${{oc.env:ANYLOOM_TEST_RESULT,result}}"
    assert main(["fit", write_config(tmp_path, project)]) == 0
    written = next((tmp_path / "run").rglob("config.yaml"))
    assert "token: ${oc.env:ANYLOOM_TEST_TOKEN}" in written.read_text()
    for file in (p for p in (tmp_path / "run").rglob("*") if p.is_file()):
        assert b"s3cret" not in file.read_bytes()
    monkeypatch.setenv("ANYLOOM_TEST_ROOT", str(tmp_path / "elsewhere"))
    project["trainer"]["default_root_dir"] = "${oc.env:ANYLOOM_TEST_ROOT}/root"
    project["trainer"]["callbacks"] = [
        {
            "class_path": "lightning.pytorch.callbacks.ModelCheckpoint",
            "init_args": {"train_time_interval": "1:30:00", "dirpath": str(tmp_path / "checkpoints")},
        }
    ]
    project["result"] = str(tmp_path / "second")
    assert main(["fit", write_config(tmp_path, project)]) == 0
