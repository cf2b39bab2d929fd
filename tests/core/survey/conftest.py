"""Lines whose counts are known."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from anyloom.media import write_media
from parts import model_options, picture, sound


def line(folder: Path, number: int, task: str, *, missing: bool = False) -> str:
    """A picture that becomes another one with a sound."""
    given = write_media(picture(number), folder / f"{number}.png").name
    made = write_media(picture(number + 100), folder / f"{number + 100}.png").name
    heard = write_media(sound(number), folder / f"{number}.wav").name
    answer = [
        {"type": "image", "path": "gone.png" if missing else made, "reference": 0},
        {"type": "audio", "path": heard},
    ]
    asked = [{"type": "text", "text": "make it blue "}, {"type": "image", "path": given}]
    messages = [{"role": "user", "content": asked}, {"role": "assistant", "content": answer}]
    return json.dumps({"id": f"s{number}", "task": task, "messages": messages})


@pytest.fixture
def config(tmp_path: Path, tokenizer_folder: Path) -> Path:
    """Eight lines of training: two tasks, one damaged file, one line twice; a test split that shares one with it."""
    data = tmp_path / "data"
    rows = [line(data, n, "edit" if n % 2 else "draw") for n in range(6)]
    (data / "5.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    rows.append(rows[1].replace('"s1"', '"again"'))
    rows.append(line(data, 7, "edit"))
    (data / "train.jsonl").write_text("\n".join(rows))
    (data / "test.jsonl").write_text("\n".join([rows[0], line(data, 20, "draw")]))
    sections = {
        "model": model_options(tokenizer_folder),
        "data": {
            "datasets": {
                "own": {"name": "conversations", "train": str(data / "train.jsonl"), "test": str(data / "test.jsonl")}
            },
            "max_bad": 1.0,
        },
    }
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(sections))
    return tmp_path / "config.yaml"
