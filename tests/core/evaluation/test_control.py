"""Decoded from true features: the same metrics on what the decoders make when nothing is predicted."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import yaml

from anyloom import AnyToAnyModel, Conversation, Message
from anyloom.cli.main import main
from anyloom.conversation import Media
from anyloom.errors import ConfigError
from anyloom.evaluation.control import control_answers
from anyloom.evaluation.results import Results
from anyloom.evaluation.runner import able, samples_of
from anyloom.evaluation.suite import read_suite, to_choose_by
from anyloom.interfaces import Condition, Sample
from anyloom.sequence.seeds import sample_name
from parts import picture
from projects import save_brush_model, write_suite


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, tokenizer_folder: Path) -> AnyToAnyModel:
    folder = tmp_path_factory.mktemp("control") / "m"
    save_brush_model(folder, tokenizer_folder)
    return AnyToAnyModel.from_pretrained(folder, trust=True)


def asked(*answer: Media | str, key: str = "a") -> Sample:
    messages = [Message("user", [picture(7), "make it blue"]), Message("assistant", [*answer])]
    return Sample(Conversation(messages), "edit", key=key)


def test_an_answer_is_what_the_decoder_makes_of_the_encoded_target(model: AnyToAnyModel) -> None:
    target = picture(1)
    samples = [asked("so", target), asked("only words"), asked(Media("image"), key="b")]
    first, second = control_answers(model, samples, seed=3)
    encoder, decoder = model.encoder("image"), model.decoder("image")
    assert decoder is not None
    assert first.answer.text == "so"
    for one, true in ((first, target), (second, picture(7))):  # the second's target is unknown, its input stands for it
        (media,) = one.answer.media
        feature = encoder(encoder.preprocess(true)[None], "image")
        torch.testing.assert_close(media.features, feature[0])
        assert media.tensor().shape == decoder.generate(Condition(feature), seeds=[0])[0].tensor().shape
    alone = control_answers(model, samples[2:], seed=3)[0].answer.media[0].tensor()
    torch.testing.assert_close(second.answer.media[0].tensor(), alone)  # whatever else is in the batch


def test_a_row_beside_the_headline(tmp_path: Path, model: AnyToAnyModel) -> None:
    write_suite(tmp_path, 3, ["psnr"], 2, lambda n: Media("image", picture(n).tensor().repeat(1, 2, 2)))
    sections = yaml.safe_load((tmp_path / "suite.yaml").read_text())
    rows = {"this run": "edit", " a part": "edit"}
    sections["suite"]["tables"] = [{"title": "T", "rows": rows, "columns": {"PSNR": "psnr/{}/psnr"}}]
    (tmp_path / "suite.yaml").write_text(yaml.safe_dump(sections))
    model.save_pretrained(tmp_path / "m")
    words = ["evaluate", str(tmp_path / "m"), "--trust", "--suite", str(tmp_path / "suite.yaml")]
    assert main([*words, "--output", str(tmp_path / "out"), "suite.controls=2"]) == 0
    values = Results.read(tmp_path / "out" / "results.json").values
    assert (values["psnr/edit/psnr"].count, values["psnr/true-features/edit/psnr"].count) == (3, 2)
    table = (tmp_path / "out" / "results.md").read_text()
    assert table.count("decoded from true features") == 1
    assert main([*words, "--output", str(tmp_path / "none"), "suite.controls=0"]) == 0
    assert "true features" not in (tmp_path / "none" / "results.md").read_text()


def test_what_a_model_cannot_be_asked_is_left_out_and_counted(model: AnyToAnyModel) -> None:
    sound = Media("audio", torch.zeros(1, 800), meta={"sample_rate": 16000})
    heard = Sample(Conversation([Message("user", [sound]), Message("assistant", "a bell")]), "hear")
    played = Sample(Conversation([Message("user", "a bell"), Message("assistant", [sound])]), "play")
    fine = asked(picture(1))
    left, counts = able(model, [fine, heard, played])
    assert left == [fine]
    assert counts == {"the model does not read audio": 1, "the model does not make audio": 1}


def test_halves_of_a_split_share_no_subject(tmp_path: Path) -> None:
    write_suite(tmp_path, 5, ["psnr"], 2)
    file = str(tmp_path / "suite.yaml")
    parts = {s: samples_of(read_suite(file, [f"suite.split={s}"])) for s in ("test", "test/choose", "test/report")}
    whole, choose, report = ({sample_name(x) for x in found} for found in parts.values())
    assert (len(choose), len(report)) == (3, 2)
    assert choose | report == whole
    suite = read_suite(file, ["suite.choose=test/choose"])
    assert to_choose_by(suite).split == "test/choose"
    with pytest.raises(ConfigError, match="halves are choose, report"):
        samples_of(read_suite(file, ["suite.split=test/x9"]))
