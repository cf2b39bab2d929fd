"""lmms-eval asks a model, by its own command line and on a task that it has."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import wave
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from anyloom import AnyToAnyModel, Conversation, Message
from anyloom.conversation import Media, Text
from anyloom.errors import AnyloomError
from anyloom.generation.options import GenerationOptions
from anyloom.media import write_media
from anyloom_suites.lmms.prompts import cut, options_of, prompt_of
from parts import picture

QUESTION = "what is this? name the colour and the thing."


def test_messages_become_a_conversation(tmp_path: Path) -> None:
    file = write_media(picture(1), tmp_path / "a.png")
    with wave.open(str(tmp_path / "a.wav"), "wb") as sound:
        sound.setparams((1, 2, 8000, 0, "NONE", ""))
        sound.writeframes(b"\0\x40" * 1600)
    heard = {"array": [[1.0, 0.0, 0.5], [0.0, 0.0, -0.5]], "sampling_rate": 16000}
    parts = [
        {"type": "text", "text": "look: "},
        {"type": "image", "url": Image.open(file)},
        {"type": "image", "url": str(file)},
        {"type": "audio", "url": heard},
        {"type": "audio", "url": str(tmp_path / "a.wav")},
    ]
    conversation = prompt_of([{"role": "user", "content": parts}, {"role": "assistant", "content": "so"}], "t/0")
    asked, said = conversation.messages
    assert [s.text if isinstance(s, Text) else s.modality for s in asked.segments] == [
        "look: ", "image", "image", "audio", "audio",
    ]  # fmt: skip
    _, seen, read, mixed, recorded = asked.segments
    assert isinstance(seen, Media)
    assert isinstance(read, Media)
    assert isinstance(mixed, Media)
    assert isinstance(recorded, Media)
    torch.testing.assert_close(seen.tensor() / 255, read.tensor())
    assert mixed.tensor().tolist() == [[0.5, 0.0, 0.0]]
    assert mixed.meta["sample_rate"] == 16000
    assert (recorded.tensor().shape, recorded.meta["sample_rate"]) == ((1, 1600), 8000)
    assert (said.role, said.text) == ("assistant", "so")


@pytest.mark.parametrize("part", [{"type": "image"}, {"type": "audio", "url": {"array": [0.0]}}, {"type": "scent"}])
def test_parts_that_are_not_read_are_named(part: dict[str, Any]) -> None:
    with pytest.raises(AnyloomError, match=r"tiny/test/3: a part of type '(image|audio|scent)'"):
        prompt_of([{"role": "user", "content": [part]}], "tiny/test/3")


def test_options_of_a_task(recwarn: pytest.WarningsRecorder) -> None:
    asked = {"max_new_tokens": 5, "temperature": 0.7, "top_p": None, "do_sample": False, "num_beams": 1, "until": ["x"]}
    assert options_of(asked, ["image"]) == GenerationOptions(max_new_tokens=5, media={"image": "forbid"})
    assert options_of({"temperature": 0.7, "top_p": 0.9}, []) == GenerationOptions(temperature=0.7, top_p=0.9)
    assert not recwarn.list
    with pytest.warns(UserWarning, match="change nothing here: num_beams"):
        options_of({"num_beams": 4}, [])
    with pytest.raises(AnyloomError, match="max_new_tokens"):
        options_of({"max_new_tokens": -1}, [])
    assert cut("one\n\ntwo. three", ["\n\n", "."]) == "one"
    assert cut("one. two", ".") == "one"
    assert cut("one. two", None) == "one. two"


def write_vqav2(folder: Path, answers: list[list[str]]) -> None:
    """Questions about pictures in the layout in which lmms-lab publishes VQAv2: ten people's answers to each."""
    from datasets import Dataset, Features, List, Value
    from datasets import Image as Picture

    person = {"answer": Value("string"), "answer_confidence": Value("string"), "answer_id": Value("int64")}
    texts = dict.fromkeys(("question_type", "multiple_choice_answer", "answer_type", "question"), Value("string"))
    numbers = dict.fromkeys(("image_id", "question_id"), Value("int64"))
    features = Features({**texts, "answers": List(person), **numbers, "image": Picture()})
    rows = [
        {
            "question_type": "what is", "multiple_choice_answer": said[0], "answer_type": "other",
            "question": QUESTION, "image_id": n, "question_id": n, "image": {"path": str(folder / f"{n}.png")},
            "answers": [{"answer": a, "answer_confidence": "yes", "answer_id": i} for i, a in enumerate(said, 1)],
        }
        for n, said in enumerate(answers)
    ]  # fmt: skip
    published = folder / "lmms-lab-encoder" / "VQAv2" / "data"
    published.mkdir(parents=True)
    Dataset.from_list(rows, features=features).to_parquet(str(published / "validation-00000-of-00001.parquet"))


@pytest.mark.slow
def test_lmms_eval_runs_a_task_of_its_own(tmp_path: Path) -> None:
    """``vqav2_val`` as lmms-eval has it, on five questions; a folder called like the data set stands for the hub's."""
    pytest.importorskip("lmms_eval")
    model = AnyToAnyModel.from_pretrained("mini-plain")
    asked = f"{QUESTION}\nAnswer the question using a single word or phrase."
    said = []
    for number in range(5):
        file = write_media(picture(number), tmp_path / f"{number}.png")
        conversation = Conversation([Message("user", [Media.from_pil(Image.open(file)), asked])])
        answer = model.generate(conversation, dict.fromkeys(model.config.modalities, "forbid"), max_new_tokens=16)
        assert isinstance(answer, Message)
        said.append(answer.text.strip())  # lmms-eval strips what it scores
    assert all(said)
    agree = (10, 10, 3, 1, 0)  # so many of ten people say what the model says
    people = [[s] * n + ["nothing of the kind"] * (10 - n) for s, n in zip(said, agree)]
    write_vqav2(tmp_path, people)
    command = [
        sys.executable, "-m", "lmms_eval", "--model", "anyloom", "--model_args", "pretrained=mini-plain,device=cpu",
        "--tasks", "vqav2_val", "--limit", "5", "--batch_size", "2",
        "--output_path", str(tmp_path / "out"), "--log_samples",
    ]  # fmt: skip
    own = {"HF_HOME": str(tmp_path / "cache"), "HF_HUB_OFFLINE": "1", "WANDB_MODE": "disabled"}
    environment = {**os.environ, **own}
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=500)
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-4000:]
    (found,) = (tmp_path / "out").rglob("*results.json")
    values = json.loads(found.read_text())["results"]["vqav2_val"]
    expected = [sum(min(1, (n - (i < n)) / 3) for i in range(10)) / 10 for n in agree]  # each person against the others
    assert values["exact_match,none"] == pytest.approx(sum(expected) / 5)
    (logged,) = (tmp_path / "out").rglob("*samples*.jsonl")
    samples = sorted((json.loads(line) for line in logged.read_text().splitlines()), key=lambda s: s["doc_id"])
    assert [s["filtered_resps"] for s in samples] == said
