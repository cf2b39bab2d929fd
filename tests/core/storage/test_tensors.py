"""Files are made by safetensors itself or byte by byte, never by the writer under test."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from anyloom.errors import CheckpointError
from anyloom.storage.headers import describe, reading_headers
from anyloom.storage.tensors import load_into, read_tensors, write_tensors


def raw(path: Path, header: Any, values: bytes = b"", length: int | None = None) -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + values)
    return path


ENTRY = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}


@pytest.mark.parametrize(
    ("header", "length", "values"),
    [
        (b"", 0, b""),
        (b"[" * 2000, None, b""),
        (b"[]", None, b""),
        (b'{"a": 1}', None, b""),
        ({"a": ENTRY}, 2**60, b"1234"),
        ({"a": {**ENTRY, "shape": [2**60]}}, None, b"1234"),
        ({"a": {**ENTRY, "shape": [-1]}}, None, b"1234"),
        ({"a": {**ENTRY, "shape": [True]}}, None, b"1234"),
        ({"a": {**ENTRY, "data_offsets": [0, 400]}}, None, b"1234"),
        ({"a": {**ENTRY, "dtype": "Q3"}}, None, b"1234"),
        ({"a": {"dtype": "F32"}}, None, b"1234"),
        (b'{"a": %s, "a": %s}' % ((json.dumps(ENTRY).encode(),) * 2), None, b"1234"),
    ],
)
def test_a_header_that_lies_is_one_error(tmp_path: Path, header: Any, length: int | None, values: bytes) -> None:
    file = raw(tmp_path / "w.safetensors", header, values, length)
    if header == b"":
        file.write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"w\.safetensors: the file is truncated or not safetensors"):
        read_tensors(file)


@pytest.mark.parametrize(
    "index",
    [
        "{", "[]", "{}", '{"weight_map": []}', '{"weight_map": {"a": 1}}', '{"weight_map": {"a": "/etc/passwd"}}',
        '{"weight_map": {"a": "../w.safetensors"}}', '{"weight_map": {}}', "[" * 5000,
    ],
)  # fmt: skip
def test_a_broken_or_hostile_index_is_one_error(tmp_path: Path, index: str) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    save_file({"a": torch.ones(1)}, tmp_path / "w.safetensors")
    (folder / "model.safetensors.index.json").write_text(index)
    with pytest.raises(CheckpointError, match=r"index\.json"):
        read_tensors(folder)


def test_shards_hold_what_the_index_says(tmp_path: Path) -> None:
    save_file({"a": torch.ones(1)}, tmp_path / "1.safetensors")
    save_file({"b": torch.zeros(2), "c": torch.zeros(1)}, tmp_path / "2.safetensors")
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "1.safetensors", "b": "2.safetensors", "c": "2.safetensors"}}))
    assert {k: v.tolist() for k, v in read_tensors(tmp_path).items()} == {"a": [1.0], "b": [0.0, 0.0], "c": [0.0]}
    index.write_text(json.dumps({"weight_map": {"a": "1.safetensors", "b": "2.safetensors"}}))
    with pytest.raises(CheckpointError, match=r"2\.safetensors.*\(c\)"):
        read_tensors(tmp_path)


def test_a_folder_in_place_of_a_file_is_one_error(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").mkdir()
    with pytest.raises(CheckpointError, match="a folder, not a file"):
        read_tensors(tmp_path)


class Counting(nn.Module):
    """A weight, and a buffer of whole numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(2))
        self.register_buffer("count", torch.zeros(1, dtype=torch.int64))


GOOD = {"weight": torch.ones(2), "count": torch.ones(1, dtype=torch.int64)}


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_any_precision_of_floats_fits(dtype: torch.dtype) -> None:
    module = Counting()
    load_into(module, {**GOOD, "weight": torch.ones(2, dtype=dtype)}, where="w")
    assert module.weight.tolist() == [1.0, 1.0]


@pytest.mark.parametrize(
    ("name", "tensor", "message"),
    [
        ("weight", torch.ones(2, dtype=torch.int8), "weight is int8, expected float32"),
        ("weight", torch.ones(2, dtype=torch.complex64), "weight is complex64"),
        ("weight", torch.ones(2, dtype=torch.bool), "weight is bool"),
        ("weight", torch.ones(2).to(torch.float8_e4m3fn), "weight is float8_e4m3fn"),
        ("count", torch.ones(1), "count is float32, expected int64"),
        ("weight", torch.tensor([1.0, float("nan")]), r"not finite \(weight\)"),
        ("weight", torch.tensor([1.0, float("inf")]), r"not finite \(weight\)"),
        ("weight", torch.tensor([1.0, float("nan")], dtype=torch.bfloat16), r"not finite \(weight\)"),
        ("more", torch.ones(1), "1 keys unexpected: more"),
        ("weight", torch.ones(3), r"weight is \(3,\), expected \(2,\)"),
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_is_loaded(name: str, tensor: Tensor, message: str) -> None:
    module = Counting()
    with pytest.raises(CheckpointError, match=message):
        load_into(module, {**GOOD, name: tensor}, where="w")
    assert module.weight.tolist() == [0.0, 0.0]


def test_headers_alone_tell_whether_weights_belong(tmp_path: Path) -> None:
    """The values here are cut off, so that reading them would fail."""
    header = {
        "weight": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]},
        "count": {"dtype": "I64", "shape": [1], "data_offsets": [8, 16]},
    }
    file = raw(tmp_path / "w.safetensors", header, b"\xff" * 16)
    assert {k: v.shape for k, v in describe(file).items()} == {"weight": (2,), "count": (1,)}
    with torch.device("meta"):
        module = Counting()
    with reading_headers():
        load_into(module, read_tensors(file), where="w")
        with pytest.raises(CheckpointError, match="keys missing: bias"):
            load_into(nn.Linear(2, 1), read_tensors(file), where="w")
    with pytest.raises(CheckpointError, match="not finite"):
        load_into(Counting(), read_tensors(file), where="w")  # FF FF FF FF is a NaN


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"w": torch.tensor(float("nan"))}, "not finite"),
        ({"w": torch.tensor(float("-inf"))}, "not finite"),
        ({"w": torch.ones(2).to_sparse()}, "no plain values"),
        ({"w": torch.ones(2, device="meta")}, "no plain values"),
    ],
)
def test_what_cannot_be_read_again_is_not_written(tmp_path: Path, tensors: dict[str, Tensor], message: str) -> None:
    file = tmp_path / "w.safetensors"
    save_file({"w": torch.ones(1)}, file)
    before = file.read_bytes()
    with pytest.raises(CheckpointError, match=message):
        write_tensors(tensors, file)
    assert file.read_bytes() == before


def test_an_attention_mask_may_hold_minus_infinity(tmp_path: Path) -> None:
    mask = torch.full((3, 3), float("-inf")).triu(1)
    write_tensors({"mask": mask}, tmp_path / "m.safetensors")
    assert torch.equal(read_tensors(tmp_path / "m.safetensors")["mask"], mask)
    for wrong in (mask + 0.5, -mask, mask[0], torch.full((2, 2), float("-inf")), mask * float("nan")):
        with pytest.raises(CheckpointError, match="not finite"):
            write_tensors({"mask": wrong}, tmp_path / "m.safetensors")
