from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest

from anyloom.data.conversations import ConversationFiles
from anyloom.errors import AnyloomError, BadRecord, ConfigError
from anyloom.media import write_media
from parts import picture


def built(folder: Path, lines: list[Any], **options: Any) -> Any:
    text = "\n".join(line if isinstance(line, str) else json.dumps(line, ensure_ascii=False) for line in lines)
    (folder / "a.jsonl").write_text(text, encoding="utf-8")
    return ConversationFiles.from_options({"train": str(folder / "a.jsonl"), **options}).build("train")


def line(*answer: Any, **more: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": "hello"}, {"role": "assistant", "content": list(answer) or "yes"}]
    return {"messages": messages, **more}


def test_a_line_says_its_task_and_where_it_comes_from(tmp_path: Path) -> None:
    samples = built(tmp_path, [line(), line(task="edit", provenance={"family": "colour", "k": 2})], task="talk")
    assert [samples[i].task for i in range(2)] == ["talk", "edit"]
    assert samples[0].provenance == {"source": f"{tmp_path}/a.jsonl:1"}
    assert samples[1].provenance == {"source": f"{tmp_path}/a.jsonl:2", "family": "colour", "k": 2}
    assert samples[1].key == f"{tmp_path}/a.jsonl:2"
    assert len({samples[i].key for i in range(2)}) == 2


def test_opening_a_file_opens_no_media_and_parses_no_line(tmp_path: Path) -> None:
    part = {"type": "image", "path": "0.png"}
    samples = built(tmp_path, [line(part), "no JSON", line()])
    assert len(samples) == 3
    with pytest.raises(AnyloomError, match=r"0\.png"):
        samples[0]
    write_media(picture(0), tmp_path / "0.png")
    copied = pickle.loads(pickle.dumps(samples))
    assert copied[0].conversation.media[0].data is None
    assert copied[0].conversation.media[0].tensor().shape == picture(0).tensor().shape


def test_line_separators_of_unicode_are_text(tmp_path: Path) -> None:
    text = "one\u2028two\u0085three"
    samples = built(tmp_path, [line({"type": "text", "text": text}), "", line()])
    assert samples[0].conversation.messages[-1].text == text
    assert samples[1].key.endswith("a.jsonl:3")


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ("[" * 50_000, "bad row"),
        ('{"messages": ' + "1" * 5_000 + "}", "bad row"),
        (line(provenance=3), "bad row"),
        ({"messages": [{"role": "user", "content": "hello"}]}, "no target"),
        ({"messages": [{"role": "assistant", "content": [{"type": "smell", "path": "x"}]}]}, "bad row"),
    ],
)
def test_a_line_that_cannot_be_used_says_why(tmp_path: Path, bad: Any, reason: str) -> None:
    samples = built(tmp_path, [line(), bad])
    with pytest.raises(BadRecord) as caught:
        samples[1]
    assert caught.value.reason == reason
    assert caught.value.where.startswith(f"{tmp_path}/a.jsonl:2")


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    builder = ConversationFiles.from_options({"train": str(tmp_path / "b.jsonl")})
    with pytest.raises(ConfigError, match=r"b\.jsonl: there is no such file"):
        builder.build("train")
    with pytest.raises(ConfigError, match="no file is given for the split 'val'"):
        builder.build("val")
