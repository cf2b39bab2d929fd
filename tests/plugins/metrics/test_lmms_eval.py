"""lmms-eval asks a model, by its own command line and on a task of its own kind."""

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

TASK = """
task: tiny_pictures
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}}}
test_split: test
output_type: generate_until
doc_to_visual: !function utils.visual
doc_to_text: "{{{{question}}}}"
doc_to_target: "{{{{answer}}}}"
generation_kwargs: {{max_new_tokens: 8, temperature: 0, do_sample: false, until: ["."]}}
metric_list:
  - {{metric: exact_match, aggregation: mean, higher_is_better: true}}
metadata: [{{version: 0}}]
"""
UTILS = """
from PIL import Image


def visual(document):
    return [Image.open(document["picture"]).convert("RGB")]
"""
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


@pytest.mark.slow
def test_lmms_eval_scores_what_the_model_answers(tmp_path: Path) -> None:
    pytest.importorskip("lmms_eval")
    model = AnyToAnyModel.from_pretrained("mini-plain")
    (tmp_path / "task").mkdir()
    answers, lines = [], []
    for number in range(5):
        file = write_media(picture(number), tmp_path / f"{number}.png")
        asked = Conversation([Message("user", [Media.from_pil(Image.open(file)), QUESTION])])
        answer = model.generate(asked, dict.fromkeys(model.config.modalities, "forbid"), max_new_tokens=8)
        assert isinstance(answer, Message)
        answers.append(answer.text.split(".")[0].strip())  # lmms-eval strips what it scores
        wanted = answers[-1] if number < 3 else "nothing of the kind"
        lines.append(json.dumps({"picture": str(file), "question": QUESTION, "answer": wanted}))
    assert all(answers)
    (tmp_path / "data.jsonl").write_text("\n".join(lines))
    (tmp_path / "task" / "tiny.yaml").write_text(TASK.format(data=tmp_path / "data.jsonl"))
    (tmp_path / "task" / "utils.py").write_text(UTILS)
    command = [
        sys.executable, "-m", "lmms_eval", "--model", "anyloom", "--model_args", "pretrained=mini-plain,device=cpu",
        "--tasks", "tiny_pictures", "--include_path", str(tmp_path / "task"), "--batch_size", "2",
        "--output_path", str(tmp_path / "out"), "--log_samples",
    ]  # fmt: skip
    own = {"HF_HOME": str(tmp_path / "cache"), "HF_HUB_OFFLINE": "1", "WANDB_MODE": "disabled"}
    result = subprocess.run(command, env={**os.environ, **own}, capture_output=True, text=True, timeout=500)
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-4000:]
    (found,) = (tmp_path / "out").rglob("*results.json")
    values = json.loads(found.read_text())["results"]["tiny_pictures"]
    assert values["exact_match,none"] == pytest.approx(0.6)
    (logged,) = (tmp_path / "out").rglob("*samples*.jsonl")
    samples = sorted((json.loads(line) for line in logged.read_text().splitlines()), key=lambda s: s["doc_id"])
    assert [s["filtered_resps"] for s in samples] == answers
