"""What can be wrong with a record, and the reason that the ledger counts."""

from __future__ import annotations

import base64
import io
import json
import math
import struct
import tarfile
import zlib
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
import soundfile

from anyloom.building import build
from anyloom.errors import BadRecord, ConfigError
from anyloom_corpora.fixtures.layouts import write_layout
from anyloom_corpora.fixtures.media import base64_text, picture, picture_bytes, sound
from anyloom_corpora.tables import cell


def reason(records, index=0):
    """The reason for which a record cannot be used: found when it is read, or when its media are loaded."""
    with pytest.raises(BadRecord) as failure:
        [media.tensor() for media in records[index].values() if hasattr(media, "tensor")]
    assert failure.value.where
    assert failure.value.what
    return failure.value.reason


def captioned(root: Path, name: str, modality="image", caption="a thing", **options):
    (root / "t.csv").write_text(f"file,caption\n{name},{caption}\n", encoding="utf-8")
    options = {"root": str(root), "train": "t.csv", modality: ["{file}"], **options}
    return build("dataset", "captioned", options).source("train")


def test_missing(tmp_path):
    assert reason(captioned(tmp_path, "a.jpg")) == "missing"


def test_empty_and_cut_files_are_truncated(tmp_path):
    (tmp_path / "empty.jpg").write_bytes(b"")
    content = picture_bytes(1, side=128, kind="PNG")
    (tmp_path / "cut.png").write_bytes(content[: len(content) // 2])
    sound(tmp_path / "cut.wav", 1)
    (tmp_path / "cut.wav").write_bytes((tmp_path / "cut.wav").read_bytes()[:3000])
    assert reason(captioned(tmp_path, "empty.jpg")) == "truncated"
    assert reason(captioned(tmp_path, "cut.png")) == "truncated"
    assert reason(captioned(tmp_path, "cut.wav", "audio")) == "truncated"


@pytest.mark.parametrize(("name", "modality"), [("a.jpg", "image"), ("a.wav", "audio"), ("a.mp4", "video")])
def test_other_content_is_of_the_wrong_format(tmp_path, name, modality):
    (tmp_path / name).write_text("<html>404</html>" * 50, encoding="utf-8")
    assert reason(captioned(tmp_path, name, modality)) == "wrong format"


def test_too_large_a_file_is_not_opened(tmp_path):
    picture(tmp_path / "a.png", 1, side=64)
    size = (tmp_path / "a.png").stat().st_size
    assert reason(captioned(tmp_path, "a.png", max_bytes=size - 1)) == "too large"
    captioned(tmp_path, "a.png", max_bytes=size)[0]["image"].tensor()


def test_silent_and_nan_sounds(tmp_path):
    soundfile.write(tmp_path / "silent.wav", np.zeros(1000), 16_000)
    wave = np.full(1000, 0.1)
    wave[500] = np.nan
    soundfile.write(tmp_path / "nan.wav", wave, 16_000, subtype="FLOAT")
    assert reason(captioned(tmp_path, "silent.wav", "audio")) == "silent"
    assert reason(captioned(tmp_path, "nan.wav", "audio")) == "NaN"


@pytest.mark.parametrize(
    "name",
    ["../outside.jpg", "/etc/passwd", "a/../../outside.jpg", "C:/x.jpg", "..\\outside.jpg", "link/outside.jpg", " "],
)
def test_names_do_not_leave_the_folder(tmp_path, name):
    root = tmp_path / "set"
    root.mkdir()
    picture(tmp_path / "outside.jpg", 1)
    (root / "link").symlink_to(tmp_path)
    (root / "t.json").write_text(json.dumps([{"file": name, "caption": "x"}]), encoding="utf-8")
    options = {"root": str(root), "train": "t.json", "image": ["{file}"]}
    assert reason(build("dataset", "captioned", options).source("train")) == "bad row"


def test_rows_of_another_width_are_bad(tmp_path):
    picture(tmp_path / "a.jpg", 1)
    (tmp_path / "t.csv").write_text("file,caption\na.jpg,x,y\na.jpg\na.jpg,\n", encoding="utf-8")
    options = {"root": str(tmp_path), "train": "t.csv", "image": ["{file}"]}
    records = build("dataset", "captioned", options).source("train")
    assert [reason(records, n) for n in range(3)] == ["bad row"] * 3


def test_tables_without_the_named_columns_say_which_they_have(tmp_path):
    records = captioned(tmp_path, "a.jpg", image=["{path}"])
    with pytest.raises(BadRecord, match="columns: file, caption"):
        records[0]


def tar_of(root: Path, **members: bytes):
    import io
    import tarfile

    with tarfile.open(root / "00000.tar", "w") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name.replace("_", "."))
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return build("dataset", "laion", {"root": str(root)}).source("train")


def test_groups_of_an_archive(tmp_path):
    assert reason(tar_of(tmp_path, a_jpg=picture_bytes(1))) == "no target"
    assert reason(tar_of(tmp_path, a_txt=b"words")) == "missing"
    assert reason(tar_of(tmp_path, a_jpg=b"", a_txt=b"words")) == "truncated"
    assert reason(tar_of(tmp_path, a_jpg=b"GIF89", a_txt=b"words")) in ("truncated", "wrong format")
    assert reason(tar_of(tmp_path, a_jpg=picture_bytes(1), a_txt=b"\xff\xfe")) == "wrong format"
    assert reason(tar_of(tmp_path, a_jpg=picture_bytes(1), a_json=b"{")) == "bad row"


def test_hidden_files_of_an_archive_are_no_records(tmp_path):
    """As webdataset has it: macOS puts a ._ file beside every file of a tar."""
    with tarfile.open(tmp_path / "00000.tar", "w") as archive:
        for name, content in (("._0.jpg", b"x"), (".DS_Store", b"x"), ("0.jpg", picture_bytes(1)), ("0.txt", b"words")):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    records = build("dataset", "shards", {"root": str(tmp_path)}).source("train")
    assert [record["caption"] for record in (records[n] for n in range(len(records)))] == ["words"]


def test_columns_of_another_type(tmp_path):
    structs = [{"bytes": picture_bytes(n), "path": f"{n}.jpg"} for n in range(4)]
    lists = {"jpg": structs, "txt": [["a dog", " "], ["a cat"], [], None]}
    pyarrow.parquet.write_table(pyarrow.table(lists), tmp_path / "0.parquet")
    records = build("dataset", "shards", {"root": str(tmp_path), "layout": "parquet"}).source("train")
    assert [records[n]["caption"] for n in range(2)] == [["a dog"], ["a cat"]]
    assert [reason(records, n) for n in (2, 3)] == ["no target", "no target"]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b" a dog", "a dog"),
        (7, "7"),
        (b"\xff", "wrong format"),
        (["a"], "bad row"),
        ({}, "bad row"),
        (math.nan, "bad row"),
    ],
)
def test_cells_hold_text(value, expected):
    if expected in ("wrong format", "bad row"):
        with pytest.raises(BadRecord) as failure:
            cell({"caption": value}, "caption", "row 1")
        assert failure.value.reason == expected
    else:
        assert cell({"caption": value}, "caption", "row 1") == expected


def test_an_archive_that_was_cut(tmp_path):
    tar_of(tmp_path, a_txt=b"words", a_jpg=picture_bytes(1, side=512))
    path = tmp_path / "00000.tar"
    path.write_bytes(path.read_bytes()[:3000])
    assert reason(build("dataset", "laion", {"root": str(tmp_path)}).source("train")) == "truncated"


def mimic(root: Path, row, pictures=None):
    (root / "X_instructions.json").write_text(json.dumps({"data": {"X_1": row}}), encoding="utf-8")
    (root / "X.json").write_text(json.dumps(pictures or {}), encoding="utf-8")
    return build("dataset", "mimic-it", {"root": str(root), "subset": "X"}).source("train")


def mimic_reason(root, row, pictures=None):
    records = mimic(root, row, pictures)
    with pytest.raises(BadRecord) as failure:
        [media.tensor() for media in records[0]["images"]]
    return failure.value.reason


def test_mimic_it(tmp_path):
    whole = {"instruction": "What?", "answer": "This.", "image_ids": ["P"], "rel_ins_ids": []}
    assert mimic_reason(tmp_path, whole) == "missing"
    assert mimic_reason(tmp_path, whole, {"P": "no base64!"}) == "wrong format"
    assert mimic_reason(tmp_path, whole, {"P": base64.b64encode(b"GIF87a, no picture").decode()}) == "wrong format"
    assert mimic_reason(tmp_path, {**whole, "answer": ""}, {"P": base64_text(1)}) == "no target"
    assert mimic_reason(tmp_path, {**whole, "instruction": None}, {"P": base64_text(1)}) == "bad row"
    assert mimic_reason(tmp_path, {**whole, "image_ids": "P"}, {"P": base64_text(1)}) == "bad row"
    assert mimic_reason(tmp_path, {**whole, "image_ids": ["P"] * 5000}, {"P": base64_text(1)}) == "bad row"
    unpadded = base64_text(1).rstrip("=")
    assert mimic(tmp_path, whole, {"P": f"{unpadded[:40]}\n{unpadded[40:]}"})[0]["images"][0].tensor().shape == (
        3,
        32,
        32,
    )


def chat(root: Path, row):
    (root / "c.jsonl").write_text(json.dumps(row) + "\n", encoding="utf-8")
    return build("dataset", "chats", {"root": str(root), "train": "c.jsonl"}).source("train")


ASK, ANSWER = {"role": "user", "content": "<image>What?"}, {"role": "assistant", "content": "This."}
PICTURE = f"data:image/jpeg;base64,{base64_text(1)}"


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"messages": [ASK, ANSWER]}, "mismatched placeholders"),
        ({"messages": [ASK, ANSWER], "images": [PICTURE, PICTURE]}, "mismatched placeholders"),
        ({"messages": [ASK, ANSWER], "images": [PICTURE], "audios": ["a.wav"]}, "mismatched placeholders"),
        ({"messages": [ASK, ANSWER], "images": ["a.jpg"]}, "missing"),
        ({"messages": [ASK, ANSWER], "images": ["../a.jpg"]}, "bad row"),
        ({"messages": [ASK, ANSWER], "images": ["https://example.org/a.jpg"]}, "bad row"),
        ({"messages": [ASK, ANSWER], "images": ["data:audio/wav;base64,AAAA"]}, "wrong format"),
        ({"messages": [ASK, ANSWER], "images": ["data:image/jpeg,AAAA"]}, "wrong format"),
        ({"messages": [ASK, ANSWER], "images": [7]}, "bad row"),
        ({"messages": [ASK], "images": [PICTURE]}, "no target"),
        ({"messages": [ASK, {"role": "assistant", "content": ""}], "images": [PICTURE]}, "no target"),
        ({"messages": []}, "no target"),
        ({"messages": "What?"}, "bad row"),
        ({"messages": ["What?"]}, "bad row"),
        ({"messages": [{"role": "tool", "content": "x"}, ANSWER]}, "bad row"),
        ({"messages": [{"role": ["user"], "content": "x"}, ANSWER]}, "bad row"),
        ({"messages": [{"role": "user", "content": 7}, ANSWER]}, "bad row"),
        ({"messages": [{"role": "user", "content": [{"type": "tool_use"}]}, ANSWER]}, "bad row"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}, ANSWER]}, "bad row"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": "http://x/y.png"}]}, ANSWER]},
            "bad row",
        ),
        (
            {"conversations": [{"from": "human", "value": "<image>"}, {"from": "gpt", "value": "x"}]},
            "mismatched placeholders",
        ),
        (
            {
                "input_image": PICTURE,
                "conversations": [{"from": "human", "value": "no place"}, {"from": "gpt", "value": "x"}],
            },
            "mismatched placeholders",
        ),
        ({"instruction": "x", "input_images": [PICTURE], "output_image": ""}, "no target"),
        ({"instruction": "", "input_images": [], "output_image": PICTURE}, "bad row"),
        ({"prompt": "x", "response": "y"}, "bad row"),
    ],
)
def test_chats(tmp_path, row, expected):
    assert reason(chat(tmp_path, row)) == expected


def test_chat_lines_that_are_no_json(tmp_path):
    (tmp_path / "c.jsonl").write_text('{"messages": [\n"text"\n', encoding="utf-8")
    records = build("dataset", "chats", {"root": str(tmp_path), "train": "c.jsonl"}).source("train")
    assert [reason(records, n) for n in range(2)] == ["bad row"] * 2


def test_instruct_pix2pix(tmp_path):
    root = write_layout("instruct-pix2pix", tmp_path)
    (root / "0000000/34850_1.jpg").unlink()
    (root / "0000001/prompt.json").write_text('{"input": "a"}', encoding="utf-8")
    (root / "0000002/prompt.json").unlink()
    (root / "0000003/prompt.json").write_text("[]", encoding="utf-8")
    records = build("dataset", "instruct-pix2pix", {"root": str(root), "shares": [1, 0, 0]}).source("train")
    assert [reason(records, n) for n in (0, 2, 5, 6)] == ["missing", "bad row", "missing", "bad row"]


def test_kosmos_g(tmp_path):
    picture_ = base64_text(1)
    lines = [
        f"a dog\tdog\t{picture_}\t{picture_}",
        f"a dog\tdog\tx!\t{picture_}\t{picture_}",
        "a dog",
        f"a dog\t\t{picture_}",
    ]
    (tmp_path / "0.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    records = build("dataset", "kosmos-g", {"root": str(tmp_path)}).source("train")
    assert [reason(records, n) for n in range(3)] == ["bad row", "wrong format", "bad row"]
    samples = build("dataset", "kosmos-g", {"root": str(tmp_path)}).build("train")
    with pytest.raises(BadRecord, match="no parts"):
        samples[3]


def test_open_images(tmp_path):
    root = write_layout("open-images", tmp_path)
    path = root / "train-annotations-object-segmentation.csv"
    lines = path.read_text().splitlines()
    lines[1] = lines[1].replace("0.300000", "1.300000")
    lines[2] = lines[2].replace("/m/0bt9lr,0", "/m/unknown,0")
    lines.append("only,three,fields")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    (root / f"images/{2:016x}.jpg").unlink()
    records = build("dataset", "open-images", {"root": str(root)}).source("train")
    assert len(records) == 5
    assert [reason(records, n) for n in (0, 1, 2, 4)] == ["bad row", "bad row", "missing", "bad row"]
    records[3]


def test_a_list_of_masks_without_its_header_says_which_columns_it_has(tmp_path):
    root = write_layout("open-images", tmp_path)
    path = root / "train-annotations-object-segmentation.csv"
    path.write_text(path.read_text().split("\n", 1)[1], encoding="utf-8")
    records = build("dataset", "open-images", {"root": str(root)}).source("train")
    assert len(records) > 0
    for n in range(len(records)):
        with pytest.raises(BadRecord, match=r"ImageID.*columns: .*m(0bt9lr|01mzpv)"):
            records[n]


def test_dream_bench_s_prompts_in_another_encoding(tmp_path):
    root = write_layout("dream-bench", tmp_path)
    path = root / "dataset/prompts_and_classes.txt"
    path.write_bytes(path.read_text(encoding="utf-8").encode("utf-16"))
    with pytest.raises(ConfigError, match=r"prompts_and_classes\.txt: not UTF-8"):
        build("dataset", "dream-bench", {"root": str(root)}).source("train")


def test_audioset(tmp_path):
    root = write_layout("audioset", tmp_path)
    path = root / "balanced_train_segments.csv"
    lines = path.read_text().splitlines()
    lines[3] = lines[3].replace("/m/09x0r", "/m/none")
    lines[5] = lines[5].replace("60.000", "sixty")
    path.write_text("\n".join([*lines, 'gone, 0.000, 10.000, "/m/0bt9lr"']) + "\n", encoding="utf-8")
    records = build("dataset", "audioset", {"root": str(root)}).source("train")
    assert [reason(records, n) for n in (0, 2, 6)] == ["bad row", "bad row", "missing"]


def test_cobsat(tmp_path):
    root = write_layout("cobsat", tmp_path)
    (root / "datasets/color_car/orange_car.jpg").unlink()
    prompts = [
        *json.loads((root / "load_datasets/prompts_list.json").read_text()),
        {"x_list": [1], "theta_list": [10] * 9},
    ]
    (root / "load_datasets/prompts_list.json").write_text(json.dumps(prompts), encoding="utf-8")
    records = build("dataset", "cobsat", {"root": str(root), "numbers": [1]}).source("test")
    assert [reason(records, n) for n in (0, 2)] == ["missing", "bad row"]


def test_clips_without_sound_have_none(tmp_path):
    from anyloom_corpora.fixtures.media import clip

    clip(tmp_path / "a.mp4", 1, with_sound=False)
    assert reason(captioned(tmp_path, "a.mp4", "video", sound=True)) == "wrong format"


def bomb(width, height) -> bytes:
    """A picture of a few bytes whose header says that it is very large."""

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.mark.parametrize("size", [(9_000, 9_000), (60_000, 60_000)])
def test_bombs_are_refused_before_they_are_decoded(tmp_path, size):
    (tmp_path / "bomb.png").write_bytes(bomb(*size))
    assert reason(captioned(tmp_path, "bomb.png")) == "too large"
