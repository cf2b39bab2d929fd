"""Tables of any kind with media in files or in cells, and the quirks of hosts."""

from __future__ import annotations

import json

import pyarrow
import pyarrow.parquet
import pytest

from anyloom.building import build
from anyloom.errors import BadRecord, ConfigError
from anyloom_corpora.fixtures.media import clip, mask, picture, picture_bytes, sound
from anyloom_corpora.tables import CsvRows, table


def rows_of(path):
    rows = table(path)
    return [rows[n] for n in range(len(rows))]


def test_csv_with_a_mark_quotes_line_ends_and_blank_lines(tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes('﻿a, b\r\n\r\n1, "two, ""three""\r\nfour"\r\n5,6\r\n'.encode())
    rows = CsvRows(path)
    assert [rows[n] for n in range(len(rows))] == [{"a": "1", "b": 'two, "three"\r\nfour'}, {"a": "5", "b": "6"}]


@pytest.mark.parametrize("content", [b"", "a,b\n1,2\n".encode("utf-16"), b'"a,b\n1,2\n'])
def test_a_table_without_a_header_is_one_clear_error(tmp_path, content):
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(ConfigError, match="header"):
        CsvRows(tmp_path / "t.csv")


def test_tsv_json_jsonl_and_parquet_give_the_same_rows(tmp_path):
    expected = [{"file": "a.jpg", "caption": "x"}, {"file": "b.jpg", "caption": "y"}]
    (tmp_path / "t.tsv").write_text("file\tcaption\na.jpg\tx\nb.jpg\ty\n")
    (tmp_path / "t.json").write_text(json.dumps(expected))
    (tmp_path / "t.jsonl").write_text("".join(json.dumps(row) + "\n" for row in expected))
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(expected), tmp_path / "t.parquet")
    (tmp_path / "parts").mkdir()
    for n, row in enumerate(expected):
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist([row]), tmp_path / f"parts/{n}.parquet")
    for name in ("t.tsv", "t.json", "t.jsonl", "t.parquet", "parts"):
        assert rows_of(tmp_path / name) == expected, name
    with pytest.raises(ConfigError, match="not a kind of table"):
        table(tmp_path / "t.xlsx")


def test_image_and_audio_columns_of_the_hub(tmp_path):
    wave = sound(tmp_path / "a.wav", 1).read_bytes()
    rows = [
        {
            "picture": {"bytes": picture_bytes(n), "path": None},
            "sound": {"bytes": wave, "path": "a.wav"},
            "words": f"w{n}",
        }
        for n in range(5)
    ]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "t.parquet", row_group_size=2)
    options = {
        "root": str(tmp_path),
        "train": "t.parquet",
        "image": ["{picture}"],
        "audio": ["{sound}"],
        "caption": "words",
    }
    records = build("dataset", "captioned", options).source("train")
    assert [records[n]["caption"] for n in range(5)] == [f"w{n}" for n in range(5)]
    assert records[4]["image"].tensor().shape == (3, 32, 32)
    assert records[4]["audio"].meta["sample_rate"] == 16_000
    assert [len(shard) for shard in records.shards] == [2, 2, 1]


def test_lists_of_captions_give_one_by_chance(tmp_path):
    sound(tmp_path / "a.wav", 1)
    (tmp_path / "t.json").write_text(json.dumps([{"file": "a.wav", "caption": ["one", "two", " "]}]))
    options = {"root": str(tmp_path), "train": "t.json", "audio": ["{file}"], "tasks": {"audio-to-text": 1}}
    samples = build("dataset", "captioned", options).build("train")
    assert {samples.draw(0, seed).conversation.messages[1].text for seed in range(20)} == {"one", "two"}
    (tmp_path / "t.json").write_text(json.dumps([{"file": "a.wav", "caption": []}]))
    with pytest.raises(BadRecord) as failure:
        build("dataset", "captioned", options).build("train")[0]
    assert failure.value.reason == "no target"


def test_clips_as_next_gpt_names_them(tmp_path):
    clip(tmp_path / "videos/00000042.mp4", 1, with_sound=False)
    (tmp_path / "results_10M_train.csv").write_text("videoid,contentUrl,duration,page_idx,name\n42,x,y,0,words\n")
    record = build("dataset", "webvid", {"root": str(tmp_path)}).source("train")[0]
    assert record["video"].path.endswith("00000042.mp4")


@pytest.mark.parametrize("first", ["input_image", "original_image"])
def test_small_copies_of_instruct_pix2pix_call_the_first_picture_otherwise(tmp_path, first):
    rows = [
        {first: {"bytes": picture_bytes(n)}, "edit_prompt": "x", "edited_image": {"bytes": picture_bytes(n + 1)}}
        for n in range(2)
    ]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "t.parquet")
    source = build("dataset", "instruct-pix2pix", {"root": str(tmp_path), "shares": [1, 0, 0]}).source("train")
    assert source[1]["before"].tensor().shape == (3, 32, 32)
    assert list(source.related(0)) == [1]


def test_other_sets_of_edits_and_instructions_name_their_columns(tmp_path):
    rows = [{"source_img": {"bytes": picture_bytes(1)}, "instruction": "x", "target_img": {"bytes": picture_bytes(2)}}]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "t.parquet")
    columns = {"before": "source_img", "edit": "instruction", "after": "target_img"}
    edits = build("dataset", "instruct-pix2pix", {"root": str(tmp_path), "shares": [1, 0, 0], "columns": columns})
    assert edits.source("train")[0]["edit"] == "x"
    (tmp_path / "dolly.jsonl").write_text('{"instruction": "Sum up.", "context": "A b c.", "response": "B."}\n')
    columns = {"input": "context", "output": "response"}
    texts = build("dataset", "alpaca", {"root": str(tmp_path), "file": "dolly.jsonl", "columns": columns})
    record = texts.source("train")[0]
    assert (record["input"], record["output"]) == ("A b c.", "B.")
    with pytest.raises(ConfigError, match="columns"):
        build("dataset", "alpaca", {"root": str(tmp_path), "columns": {"answer": "response"}})


def test_masks_in_the_folders_of_their_archives_and_class_lists_without_a_header(tmp_path):
    image = "0a1b2c3d4e5f6a7b"
    name = f"{image}_m0bt9lr_1.png"
    (tmp_path / "validation-annotations-object-segmentation.csv").write_text(
        "MaskPath,ImageID,LabelName,BoxID,BoxXMin,BoxXMax,BoxYMin,BoxYMax,PredictedIoU,Clicks\n"
        f"{name},{image},/m/0bt9lr,1,0.25,0.75,0.25,0.75,0.9,\n"
    )
    (tmp_path / "class-descriptions-boxable.csv").write_text("/m/0bt9lr,Dog\n")
    mask(tmp_path / f"validation-masks-0/{name}", (0.25, 0.75, 0.25, 0.75))
    picture(tmp_path / f"validation/{image}.jpg", 3)
    options = {"root": str(tmp_path), "classes": "class-descriptions-boxable.csv"}
    sample = build("dataset", "open-images", options).build("val")[0]
    assert sample.conversation.messages[0].text == "A scene with "
    assert sample.conversation.media[0].tensor().shape == (3, 16, 16)


def test_conversations_in_parquet_bring_their_pictures(tmp_path):
    row = {
        "messages": [{"role": "user", "content": "<image>What?"}, {"role": "assistant", "content": "This."}],
        "images": [{"bytes": picture_bytes(1), "path": "a.jpg"}],
    }
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist([row]), tmp_path / "t.parquet")
    sample = build("dataset", "chats", {"root": str(tmp_path), "train": "t.parquet"}).build("train")[0]
    assert sample.conversation.media[0].tensor().shape == (3, 32, 32)
