from __future__ import annotations

import json
from pathlib import Path

import pytest

from anyloom import AnyToAnyModel
from anyloom.cli import model_argument
from anyloom.cli.main import main
from anyloom.media import conversation_from_json, read_media, write_media
from anyloom.network.config import ModelConfig
from anyloom.options import validate
from parts import image_decoder_options, model_options, picture, sound
from projects import sections, write_config


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, tokenizer_folder: Path) -> Path:
    """A saved model that reads pictures and sounds and makes pictures, and two files to show it."""
    made = tmp_path_factory.mktemp("saved")
    options = model_options(tokenizer_folder, decoders={"brush": image_decoder_options()})
    options["modalities"]["image"]["decoder"] = "brush"
    AnyToAnyModel(validate(ModelConfig, options, where="model")).save_pretrained(made / "model")
    write_media(picture(1), made / "given.png")
    write_media(sound(1), made / "given.wav")
    return made


def ask(folder: Path, output: Path, *words: str) -> int:
    more = ["--trust", "--output", str(output), "--max-new-tokens", "4"]
    return main(["generate", str(folder / "model"), *words, *more])


def answer(output: Path) -> dict[str, object]:
    value: dict[str, object] = json.loads((output / "conversation.json").read_text())
    return value


def test_media_in_media_out(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture_file, sound_file = str(folder / "given.png"), str(folder / "given.wav")
    words = ("--text", "turn", "--media", picture_file, "--text", "and", "--media", sound_file, "--text", "upside down")
    assert ask(folder, tmp_path, *words, "--force", "image", "--forbid", "audio") == 0
    value = answer(tmp_path)
    asked, answered = value["messages"]  # type: ignore[misc]
    assert [part["type"] for part in asked["content"]] == ["text", "image", "text", "audio", "text"]
    assert [part.get("text") or part["path"] for part in asked["content"]] == [
        "turn", "given.png", "and", "given.wav", "upside down"
    ]  # fmt: skip
    assert (tmp_path / "given.png").read_bytes() == Path(picture_file).read_bytes(), "the folder can be moved"
    assert answered["content"][0] == {"type": "image", "path": "answer-000.png"}
    assert read_media(tmp_path / "answer-000.png").tensor().shape == (3, 16, 16)
    out = capsys.readouterr().out
    assert f"image: {tmp_path / 'answer-000.png'}" in out
    assert str(tmp_path / "conversation.json") in out
    assert conversation_from_json(value, root=tmp_path).messages[-1].role == "assistant"


def test_seeds_and_options_reach_the_model(folder: Path, tmp_path: Path) -> None:
    pictures = []
    for name, words in {
        "a": ("--seed", "1"),
        "b": ("--seed", "1"),
        "c": ("--seed", "2"),
        "d": ("--seed", "1", "--steps", "1", "--guidance", "3"),
    }.items():
        assert ask(folder, tmp_path / name, "--text", "a red heart", "--force", "image", *words) == 0
        pictures.append((tmp_path / name / "answer-000.png").read_bytes())
    assert pictures[0] == pictures[1]
    assert len(set(pictures)) == 3


def test_a_conversation_goes_on(folder: Path, tmp_path: Path) -> None:
    assert ask(folder, tmp_path, "--text", "hello", "--forbid", "image", "--forbid", "audio") == 0
    earlier = str(tmp_path / "conversation.json")
    assert ask(folder, tmp_path / "next", "--conversation", earlier, "--text", "and now?", "--force", "image") == 0
    roles = [m["role"] for m in answer(tmp_path / "next")["messages"]]  # type: ignore[attr-defined]
    assert roles == ["user", "assistant", "user", "assistant"]


def test_a_predicted_feature_without_a_decoder_is_a_note(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(AnyToAnyModel, "decoder", lambda self, name: None)
    model = AnyToAnyModel.from_pretrained(folder / "model", trust=True)
    monkeypatch.setattr(AnyToAnyModel, "from_pretrained", lambda *_, **__: model)
    sampled = iter([model.tags["audio"].begin, model.llm.tokenizer.eos_id])
    monkeypatch.setattr("anyloom.generation.engine.next_tokens", lambda *_, **__: [next(sampled)])
    assert ask(folder, tmp_path, "--text", "hello", "--max-media", "1") == 0
    assert "audio was predicted, but the model has no decoder" in capsys.readouterr().err


def test_a_config_answers_with_what_it_has_trained(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    project = sections(tmp_path)
    words = ["generate", write_config(tmp_path, project), "--text", "hello", "--max-new-tokens", "2"]
    assert main([*words, "--output", str(tmp_path / "a")]) == 2
    assert "nothing has been trained for this config yet" in capsys.readouterr().err
    assert main([*words, "--untrained", "--output", str(tmp_path / "a")]) == 0
    assert "random" in capsys.readouterr().err
    AnyToAnyModel.from_pretrained(folder / "model", trust=True).save_pretrained(project["result"])
    assert main([*words, "--output", str(tmp_path / "b")]) == 0
    assert f"model: {project['result']}" in capsys.readouterr().err
    assert main([*words[:2], "model.max_length=40", *words[2:], "--output", str(tmp_path / "c")]) == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "nothing is asked"),
        (("--media", "nowhere.png"), "nowhere.png: there is no such file"),
        (("--media", "tests"), "tests: this is a folder, not a file"),
        (("--conversation", "nowhere.json"), "nowhere.json: there is no such file"),
        (("--text", "a", "--force", "smell"), "'smell'"),
        (("--text", "a", "--forbid", "smell"), "'smell'"),
        (("--text", "a", "--force", "audio"), "no decoder for 'audio'"),
        (("--text", "a", "--device", "toaster"), "--device: "),
        (("--text", "a", "--steps", "0"), "generate.sampling.image.denoising_steps: Input should be greater than 0"),
    ],
)
def test_mistakes_are_one_line(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], message: str
) -> None:
    assert ask(folder, tmp_path, *words) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error
    assert not (tmp_path / "conversation.json").exists()


def test_a_modality_that_the_model_does_not_have_is_named(
    tmp_path: Path, tokenizer_folder: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = model_options(tokenizer_folder, modalities=("image",))
    AnyToAnyModel(validate(ModelConfig, options, where="model")).save_pretrained(tmp_path / "model")
    assert ask(tmp_path, tmp_path / "out", "--media", str(folder / "given.wav")) == 2
    assert "does not handle the modality 'audio'" in capsys.readouterr().err


def test_a_folder_without_a_model_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["generate", str(tmp_path), "--text", "a"]) == 2
    assert "no saved model here" in capsys.readouterr().err


def test_an_answer_needs_a_question(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "chat.json"
    file.write_text(json.dumps([{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]))
    assert ask(folder, tmp_path, "--conversation", str(file)) == 2
    assert "ends with an answer" in capsys.readouterr().err
    file.write_text("{")
    assert ask(folder, tmp_path, "--conversation", str(file)) == 2
    assert "not JSON" in capsys.readouterr().err


def test_without_a_model_the_one_that_ships_answers(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["generate", "--text", "hello", "--forbid", "image", "--forbid", "audio", "--output", str(tmp_path)]
    monkeypatch.setattr(model_argument, "shipped_weights", lambda recipe=None: None)
    assert main(words) == 2
    assert "no model is named, and none ships" in capsys.readouterr().err
    monkeypatch.setattr(model_argument, "shipped_weights", lambda recipe=None: folder / "model")
    assert main([*words, "--max-new-tokens", "2"]) == 0
    assert f"model: {folder / 'model'}" in capsys.readouterr().err
    assert main(["generate", "a", "b", "--text", "hello"]) == 2
    assert "2 models are named" in capsys.readouterr().err
    assert main(["generate", "mini", "Turn it upside down.", "--text", "hello"]) == 2
    assert "what is said goes after --text" in capsys.readouterr().err
    assert main(["generate", "owner/name", "--text", "hello"]) == 2
    assert "let it be fetched from the hub with --download" in capsys.readouterr().err


def test_what_was_loaded_is_no_garbage_and_later_models_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once in a process: a program that loads many models in turn must get their memory back."""
    import gc

    from anyloom.cli.arguments import Sources

    frozen: list[bool] = []
    monkeypatch.setattr(model_argument.gc, "freeze", lambda: frozen.append(gc.isenabled()))
    model_argument._never_again.cache_clear()
    for _ in range(2):
        model_argument.load_named_model(Sources(["mini"], []))
    assert frozen == [True]
