"""How the words of a command line are told apart: what exists is a path, what is not understood is refused."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from anyloom.cli.arguments import split_sources
from anyloom.cli.main import main
from anyloom.errors import ConfigError
from projects import sections, write_config


def split(*words: str) -> tuple[list[str], list[str]]:
    found = split_sources(argparse.Namespace(sources=list(words)))
    return found.configs, found.overrides


def test_what_exists_is_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("lr=0.01", "a.b=c.yaml", "runs/x=1", "=", "model.llm.name=x"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).mkdir() if "yaml" not in name else Path(name).touch()
        assert split(name) == ([name], [])
        assert split(f"./{name}") == ([f"./{name}"], [])


@pytest.mark.parametrize(
    "word",
    ["data.batch_size=4", "a=b=c", "model.encoders.my-eye.width=3", "trainer.callbacks.0.x=[1, 2]", "a.b=", "a=x/y=z"],
)
def test_what_does_not_exist_and_has_a_dotted_key_is_an_override(word: str) -> None:
    assert split("mini", word) == (["mini"], [word])


@pytest.mark.parametrize("word", ["runs/lr=0.01", "./a=b", "=x", "a..b=c", ".a=b", "a.=b", "~/a=b", "a b=c", "C:\\x=y"])
def test_what_is_neither_is_named(word: str) -> None:
    with pytest.raises(ConfigError, match="no such file or folder") as caught:
        split(word)
    assert caught.value.where == word


def test_a_word_that_cannot_be_a_path_is_an_override() -> None:
    long = "a.b=" + "x" * 5000
    assert split(long) == ([], [long])
    assert split("a.b=\0") == ([], ["a.b=\0"])


@pytest.mark.parametrize("command", ["check", "fit", "validate", "test", "predict"])
@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("modle.max_length=3", "there is no section 'modle'"),
        ("lr=0.1", "there is no section 'lr'"),
        ("defaults=x", "there is no section 'defaults'"),
        ("variables.sizee=3", "did you mean 'size'?"),
        ("stages.eys.trainer.max_steps=1", "did you mean 'eye'?"),
        ("stages.eye.traner.max_steps=1", "did you mean 'trainer'?"),
        ("stages.eye=3", "expected sections"),
        ("stages=[a]", "expected stages by name"),
        ("stages=['${a']", "expected stages by name"),
        ("a=&a [*a]", "inside its own anchor"),
        (".".join("a" * 5000) + "=1", "more than 64 parts"),
        ("model.llm=[[[", "not valid YAML"),
    ],
)
def test_an_override_that_nothing_reads_is_refused(
    command: str, word: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = {"variables": {"size": 1}, "stages": {"eye": {"trainer": {"max_steps": 1}}}}
    assert main([command, write_config(tmp_path, made), word]) == 2
    printed = capsys.readouterr()
    assert message in printed.out + printed.err
    assert "Traceback" not in printed.err


@pytest.mark.parametrize("stage", ["eye", "all", "nothing"])
def test_a_stage_that_is_not_there_is_named(tmp_path: Path, stage: str, capsys: pytest.CaptureFixture[str]) -> None:
    config = write_config(tmp_path, {"trainer": {"max_steps": 1}})
    assert main(["fit", config, "--stage", stage]) == 2
    assert "stage" in capsys.readouterr().err


def test_fit_says_which_stages_come_first_and_where_the_result_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fit", "mini", f"variables.run={tmp_path / 'none'}"]) == 2
    error = capsys.readouterr().err
    assert "eye, ear, brush, voice" in error
    assert "--stage all" in error
    assert main(["fit", "mini", f"variables.run={tmp_path / 'none'}", "--stage", "brush"]) == 2
    assert "canvas" in capsys.readouterr().err
    # Where this stage is to write says nothing about where those before it have written.
    words = ["fit", "mini", f"variables.run={tmp_path / 'none'}", f"result={tmp_path / 'mine'}", "--stage", "model"]
    assert main(words) == 2
    error = capsys.readouterr().err
    assert "those before have not been run: eye, ear, brush, voice" in error
    assert "mine" not in error, "the stages before would write there too"
    assert main([*words[:-1], "all"]) == 2
    assert "result: all stages would write to one folder" in capsys.readouterr().err
    project = sections(tmp_path, max_steps=1)
    assert main(["fit", write_config(tmp_path, project)]) == 0
    assert f"result: {project['result']}\n" in capsys.readouterr().out


def test_check_says_how_a_recipe_of_stages_is_trained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = f"variables.run={tmp_path / 'none'}"
    assert main(["check", "mini", run]) == 0
    printed = capsys.readouterr().out
    assert f"to train: anyloom fit mini {run} --stage all" in printed
    assert "Memory of the stage 'brush' in training: at most " in printed
    assert printed.endswith("ok\n")


def test_a_printed_config_is_the_same_config(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = {"variables": {"eps": "1e-5", "small": 1e-5, "time": "1:30", "token": "${oc.env:HOME}/x"}}
    config = write_config(tmp_path, made)
    assert main(["fit", config, "--print-config"]) == 0
    printed = capsys.readouterr().out
    assert str(Path.home()) not in printed
    (tmp_path / "again.yaml").write_text(printed)
    assert main(["fit", str(tmp_path / "again.yaml"), "--print-config"]) == 0
    assert capsys.readouterr().out == printed
    assert "small: 1.0e-05" in printed


LONG = "a" * 300


@pytest.mark.parametrize(
    "words",
    [
        ["check", LONG], ["check", f"{LONG}.yaml"], ["fit", f"{LONG}/x.yaml"], ["generate", LONG, "--text", "a"],
        ["generate", "--text", "a", "--conversation", LONG], ["generate", "--text", "a", "--media", LONG],
        ["generate", "--jsonl", LONG], ["generate", "--text", "a", "--output", LONG], ["evaluate", LONG],
        ["evaluate", "--suite", LONG], ["evaluate", "--output", LONG], ["open", LONG], ["to-safetensors", LONG],
        ["plugins", "restore", LONG], ["plugins", "freeze", "--output", LONG], ["schema", "--output", LONG],
        ["plugins", "new", "encoder", "x", "--folder", LONG], ["plugins", "check", LONG],
        ["check", "mini", f"model.encoders.eye.weights={LONG}"], ["check", "mini", f"module.start_from={LONG}"],
        ["check", "mini", "files=3"], ["check", "mini", "files=[a]"], ["check", "mini", "files.x=3"],
        ["check", "mini", f"result={LONG}"], ["check", "mini", f"ckpt_path={LONG}"], ["check", "\0"],
        ["predict", "mini", "--output", LONG], ["fit", "mini", f"module.start_from={LONG}"],
    ],
)  # fmt: skip
def test_a_name_that_no_file_can_have_is_one_line(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    printed = capsys.readouterr()
    assert "Traceback" not in printed.err
    assert printed.err.count("error: ") <= 1
    assert list(tmp_path.iterdir()) == [] or words[0] in ("generate", "evaluate", "predict")
