"""What commands write never replaces what an earlier run has written, and is tried before the work starts."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

import anyloom
from anyloom import AnyToAnyModel
from anyloom.cli import generate_lines
from anyloom.cli.main import main
from anyloom.cli.outputs import free_file, free_folder, ready_folder
from anyloom.errors import ConfigError
from anyloom.network.config import ModelConfig
from anyloom.options import validate
from parts import image_decoder_options, model_options
from projects import sections, write_config, write_conversations


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, tokenizer_folder: Path) -> Path:
    options = model_options(tokenizer_folder, decoders={"brush": image_decoder_options()})
    options["modalities"]["image"]["decoder"] = "brush"
    folder = tmp_path_factory.mktemp("saved") / "model"
    AnyToAnyModel(validate(ModelConfig, options, where="model")).save_pretrained(folder)
    return folder


def ask(model: Path, output: Path, *words: str) -> int:
    limits = ["--max-new-tokens", "3", "--trust", "--output", str(output)]
    return main(["generate", str(model), *words, *limits])


def files(folder: Path) -> dict[str, str]:
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.iterdir() if p.is_file()}


def test_runs_into_one_folder_keep_each_others_files(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    seen: dict[str, str] = {}
    for number in range(3):
        words = ["generate", str(model), "--trust", "--text", "a red heart", "--force", "image", "--seed", str(number)]
        assert main([*words, "--max-new-tokens", "3"]) == 0
        now = files(tmp_path / "generated")
        assert now.items() >= seen.items()
        assert len(now) == len(seen) + 2
        place = capsys.readouterr().out.strip().splitlines()[-1].removeprefix("conversation: ")
        parts = json.loads(Path(place).read_text())["messages"][-1]["content"]
        picture = next(p["path"] for p in parts if p["type"] == "image")
        assert picture not in seen, "each conversation names its own picture"
        seen = now


def test_a_conversation_of_many_turns_names_a_file_for_each(model: Path, tmp_path: Path) -> None:
    words = ("--force", "image")
    assert ask(model, tmp_path, "--text", "one", *words) == 0
    chat = tmp_path / "conversation.json"
    chat.write_text(json.dumps({**json.loads(chat.read_text()), "task": "mine"}))
    turns = []
    for text in ("two", "three"):
        before = json.loads(chat.read_text())["messages"]
        turns.append(files(tmp_path))
        assert ask(model, tmp_path, "--conversation", str(chat), "--text", text, *words) == 0
        now = json.loads(chat.read_text())
        assert now["messages"][: len(before)] == before, "the conversation goes on in its own file"
        assert now["task"] == "mine"
    paths = [p["path"] for m in now["messages"] for p in m["content"] if p["type"] == "image"]
    assert len(set(paths)) == len(paths) == 3
    assert all((tmp_path / path).is_file() for path in paths)
    for turn in turns:
        assert {k: v for k, v in turn.items() if k.endswith(".png")}.items() <= files(tmp_path).items()


@pytest.mark.parametrize("command", [["generate", "--text", "a"], ["evaluate", "--suite", "in-context"], ["predict"]])
@pytest.mark.parametrize("place", ["file", "file/inside", "/proc/nothing", "\0"])
def test_an_output_that_cannot_be_written_is_told_before_the_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: list[str], place: str
) -> None:
    (tmp_path / "file").write_text("precious")
    project = write_config(tmp_path, sections(tmp_path))
    source = [project] if command[0] == "predict" else []
    assert main([*command, *source, "--output", str(tmp_path / place) if place[0] != "/" else place]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: --output: nothing can be written into ")
    assert (tmp_path / "file").read_text() == "precious"


def test_free_names(tmp_path: Path) -> None:
    names = [free_file(tmp_path, "a", ".json").name for _ in range(3)]
    assert names == ["a.json", "a-001.json", "a-002.json"]
    assert free_folder(tmp_path / "x", "r") == tmp_path / "x"
    ready_folder(tmp_path / "x")
    assert list((tmp_path / "x").iterdir()) == []
    (tmp_path / "x" / "r").touch()
    assert free_folder(tmp_path / "x", "r") == tmp_path / "x-001"
    with pytest.raises(ConfigError):
        ready_folder(tmp_path / "a.json")


@pytest.fixture
def lines(tmp_path: Path) -> Path:
    """Eleven questions, media beside them, with a key of the user's own; an empty line and a line separator."""
    path = write_conversations(tmp_path, "in.jsonl", 11)
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    for number, row in enumerate(rows):
        row["messages"] = row["messages"][:1]
        row["id"] = f"q\u2028{number}"
    path.write_text("\n\n".join(json.dumps(row, ensure_ascii=False) for row in rows) + "\n", encoding="utf-8")
    return path


def read(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "answers.jsonl").read_text("utf-8").split("\n")[:-1]]


def test_a_file_of_conversations_is_answered_in_order(model: Path, tmp_path: Path, lines: Path) -> None:
    assert ask(model, tmp_path / "out", "--jsonl", str(lines), "--force", "image") == 0
    rows = read(tmp_path / "out")
    assert [row["index"] for row in rows] == list(range(11))
    assert [row["id"] for row in rows] == [f"q\u2028{n}" for n in range(11)]
    for row in rows:
        assert [m["role"] for m in row["messages"]] == ["user", "assistant"]
        pictures = [p["path"] for p in row["messages"][1]["content"] if p["type"] == "image"]
        assert pictures[0] == f"{row['index']:06d}-000.png"
        assert (tmp_path / "out" / pictures[0]).is_file()


@pytest.mark.parametrize("left", ["eight lines", "half a line", "nothing", "a picture too many"])
def test_a_run_that_was_cut_off_goes_on_and_ends_the_same(
    model: Path, tmp_path: Path, lines: Path, left: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--jsonl", str(lines), "--force", "image")
    assert ask(model, tmp_path / "whole", *words) == 0
    shutil.copytree(tmp_path / "whole", tmp_path / "cut")
    result = tmp_path / "cut" / "answers.jsonl"
    text = result.read_text("utf-8").split("\n")
    keep = {"eight lines": 8, "half a line": 8, "nothing": 0, "a picture too many": 8}[left]
    result.write_text("".join(row + "\n" for row in text[:keep]) + ("" if left != "half a line" else text[8][:40]))
    if left != "a picture too many":
        for picture in (tmp_path / "cut").glob("*-000.png"):
            if int(picture.name[:6]) >= keep:
                picture.unlink()
    capsys.readouterr()
    assert ask(model, tmp_path / "cut", *words) == 0
    assert ("8 of 11 are answered already" in capsys.readouterr().err) is (keep == 8)
    assert read(tmp_path / "cut") == read(tmp_path / "whole")
    pictures = {k: v for k, v in files(tmp_path / "cut").items() if k != "answers.jsonl"}
    assert pictures == {k: v for k, v in files(tmp_path / "whole").items() if k != "answers.jsonl"}
    assert ask(model, tmp_path / "cut", *words) == 0, "nothing is left to do"
    assert read(tmp_path / "cut") == read(tmp_path / "whole")


def test_answers_of_another_question_are_not_mixed(
    model: Path, tmp_path: Path, lines: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--jsonl", str(lines), "--forbid", "image", "--forbid", "audio")
    assert ask(model, tmp_path / "out", *words) == 0
    before = files(tmp_path / "out")
    assert ask(model, tmp_path / "out", *words, "--seed", "1") == 2
    assert "line 1 answers another question" in capsys.readouterr().err
    changed = lines.read_text("utf-8").replace("\u20284", "\u2028x")
    lines.write_text(changed, encoding="utf-8")
    assert ask(model, tmp_path / "out", *words) == 2
    assert "line 5 answers another question" in capsys.readouterr().err
    lines.write_text(changed.split("\n")[0] + "\n", encoding="utf-8")
    assert ask(model, tmp_path / "out", *words) == 2
    assert files(tmp_path / "out") == before


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "in.jsonl:3: not JSON"),
        ("[" * 100_000, "in.jsonl:3: not JSON (nested too deeply)"),
        ("9" * 5000, "in.jsonl:3: not JSON"),
        ('{"messages": []}', "in.jsonl:3: expected a non-empty list"),
        ('{"messages": [{"role": "assistant", "content": "a"}]}', "in.jsonl:3: the conversation ends with an answer"),
        ('{"messages": [{"role": "user", "content": [{"type": "image", "path": "/etc/x.png"}]}]}', "--anywhere"),
    ],
)
def test_a_bad_line_is_named_and_what_was_answered_stays(
    model: Path, tmp_path: Path, line: str, message: str, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(generate_lines, "_BATCH", 1)
    good = json.dumps({"messages": [{"role": "user", "content": "a"}]})
    file = tmp_path / "in.jsonl"
    file.write_text(f"{good}\n{good}\n{line}\n{good}\n")
    words = ("--jsonl", str(file), "--forbid", "image", "--forbid", "audio")
    assert ask(model, tmp_path / "out", *words) == 2
    assert message in capsys.readouterr().err
    assert len(read(tmp_path / "out")) == 2
    file.write_text(f"{good}\n" * 4)
    assert ask(model, tmp_path / "out", *words) == 0
    assert len(read(tmp_path / "out")) == 4


def test_overrides_of_a_trained_config_keep_its_weights_or_are_refused(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    project = sections(tmp_path)
    project["variables"] = {"size": 1}
    config = write_config(tmp_path, project)
    AnyToAnyModel.from_pretrained(model, trust=True).save_pretrained(project["result"])
    words = [
        "generate",
        config,
        "--text",
        "a",
        "--force",
        "image",
        "--max-new-tokens",
        "2",
        "--no-metadata",
        "--output",
    ]
    pictures = []
    for number, more in enumerate([[], ["model.max_length=50"], ["model.decoders.brush.denoising_steps=1"]]):
        out = tmp_path / str(number)
        assert main([*words, str(out), *more]) == 0
        assert f"model: {project['result']}" in capsys.readouterr().err
        pictures.append((out / "answer-000.png").read_bytes())
    assert pictures[0] == pictures[1] != pictures[2]
    for more, message in {
        "variables.size=2": "changes nothing in the trained model",
        "trainer.max_steps=2": "changes nothing in the trained model",
        "model.encoders.eye.weights=x": "changes nothing in the trained model",
        "model.encoders.eye.widht=2": "there is no option 'widht'",
        "model.llm.architecture.hidden_size=16": "shapes wrong",
        "modle.x=2": "there is no section",
    }.items():
        assert main([*words, str(tmp_path / "x"), more]) == 2
        assert message in capsys.readouterr().err


@pytest.mark.parametrize("recipe", ["lesson", "demo", "codi2"])
def test_a_recipe_that_has_not_been_trained_does_not_answer(
    recipe: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["generate", recipe, "--text", "a"]) == 2
    assert "nothing has been trained for this config yet" in capsys.readouterr().err


def test_a_shipped_model_has_a_name_everywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    loaded = anyloom.AnyToAnyModel.from_pretrained("mini", ["model.decoders.brush.denoising_steps=3"])
    assert loaded.config.decoders["brush"]["denoising_steps"] == 3


@pytest.mark.parametrize("seed", [str(2**70), "-1", "x", "1.5"])
def test_a_seed_that_no_generator_takes_is_refused(seed: str, capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("generate", "evaluate"):
        with pytest.raises(SystemExit) as caught:
            main([command, "--seed", seed])
        assert caught.value.code == 2
        assert "whole number from 0" in capsys.readouterr().err


def test_a_device_is_chosen_and_a_precision(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ask(model, tmp_path, "--text", "a", "--forbid", "image", "--forbid", "audio", "--device", "auto") == 0
    assert "device: " in capsys.readouterr().err
    assert ask(model, tmp_path, "--text", "a", "--forbid", "image", "--forbid", "audio", "--dtype", "bfloat16") == 0
    assert ask(model, tmp_path, "--text", "a", "--device", "meta") == 2
    assert "--device: the meta device" in capsys.readouterr().err
