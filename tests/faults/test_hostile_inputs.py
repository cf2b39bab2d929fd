"""Inputs that no list of findings held, of the kinds that it names: one declared error, or a harmless reading."""

from __future__ import annotations

import io
import json
import os
import shutil
import struct
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from anyloom import AnyToAnyModel, building
from anyloom.config.compose import compose
from anyloom.conversation import Media
from anyloom.data.sources.tar import TarGroups
from anyloom.errors import AnyloomError, BadRecord, CheckpointError, ConfigError, MediaError
from anyloom.media import read_media, write_media
from anyloom.storage.tensors import read_tensors
from faults.rows import in_child
from parts import model_options, save_tokenizer

ONE = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
HEADERS: dict[str, Any] = {
    "two tensors in one place": {"a": ONE, "b": ONE},
    "tensors that overlap": {"a": ONE, "b": {**ONE, "data_offsets": [4, 12]}},
    "a hole": {"a": ONE, "b": {**ONE, "data_offsets": [12, 20]}},
    "before the file": {"a": {**ONE, "data_offsets": [-8, 0]}},
    "fractions": {"a": {**ONE, "shape": [2.0], "data_offsets": [0.0, 8.0]}},
    "an odd type": {"a": {"dtype": "F8_E8M0", "shape": [20], "data_offsets": [0, 20]}},
    "a list for facts": {"__metadata__": [1], "a": ONE},
    "half a character": b'{"\\ud800": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}',
    "facts in facts": b'{"__metadata__":' + b"[" * 10**5 + b"]" * 10**5 + b"}",
}


@pytest.mark.parametrize("what", HEADERS)
def test_headers_of_tensors(tmp_path: Path, what: str) -> None:
    header = HEADERS[what] if isinstance(HEADERS[what], bytes) else json.dumps(HEADERS[what]).encode()
    (tmp_path / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + bytes(20))
    with pytest.raises(CheckpointError):
        read_tensors(tmp_path)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(extra: bytes) -> bytes:
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + extra + chunk(b"IDAT", zlib.compress(bytes(72))) + chunk(b"IEND", b"")


def wav(*, channels: int = 1, rate: int = 16000, bits: int = 16, form: int = 1, size: int = 100) -> bytes:
    fmt = struct.pack("<HHIIHH", form, channels, rate, rate * 2 % 2**32, channels * bits // 8 % 2**16, bits)
    return b"RIFF" + struct.pack("<I", 2**32 - 1) + b"WAVEfmt \x10\0\0\0" + fmt + b"data" + struct.pack("<I", size)


def clip(tag: bytes, offset: int, value: int) -> Callable[[Path], bytes]:
    """A clip in whose tables one number is another."""

    def make(folder: Path) -> bytes:
        path = write_media(Media("video", torch.zeros(6, 3, 16, 16), meta={"fps": 8.0}), folder / "whole.mp4")
        content = bytearray(path.read_bytes())
        at = content.find(tag) + offset
        content[at : at + 4] = struct.pack(">I", value)
        return bytes(content)

    return make


BOMB = zlib.compress(bytes(100_000_000), 9)
MEDIA: dict[str, tuple[str, bytes | Callable[[Path], bytes]]] = {
    "text of 100 MB": (".png", png(chunk(b"zTXt", b"k\0\0" + BOMB))),
    "colours of 100 MB": (".png", png(chunk(b"iCCP", b"k\0\0" + BOMB))),
    "frames without number": (".gif", b"GIF89a" + struct.pack("<HHBBB", 65535, 65535, 0, 0, 0) + b"\x21" * 9000),
    "a strip of 2 GB": (".tif", b"II*\0\x08\0\0\0\x01\0" + struct.pack("<HHII", 256, 4, 1, 2**31)),
    "no rate": (".wav", wav(rate=0)),
    "all rates": (".wav", wav(rate=2**32 - 1)),
    "no channels": (".wav", wav(channels=0)),
    "65,535 channels": (".wav", wav(channels=65535)),
    "no bits": (".wav", wav(bits=0)),
    "nothing": (".wav", wav(size=0)),
    "a table of times of 2^31": (".mp4", clip(b"stts", 8, 2**31 - 1)),
    "a table of sizes of 2^31": (".mp4", clip(b"stsz", 12, 2**31 - 1)),
    "a table of keys": (".mp4", clip(b"stss", 8, 2**32 - 1)),
    "a box of 2 GB": (".mp4", clip(b"moov", -4, 2**31)),
}


@pytest.mark.parametrize("what", MEDIA)
def test_media(tmp_path: Path, what: str) -> None:
    suffix, content = MEDIA[what]
    path = tmp_path / f"a{suffix}"
    path.write_bytes(content if isinstance(content, bytes) else content(tmp_path))
    error, grown = in_child(lambda: read_media(path).tensor().shape)
    assert isinstance(error, MediaError), error
    assert grown < 200


@pytest.mark.parametrize(("tag", "offset", "value"), [(b"mdhd", 16, 0), (b"mdhd", 16, 2**32 - 1), (b"stts", 16, 2**31)])
def test_clips_whose_clock_is_absurd_stay_small(tmp_path: Path, tag: bytes, offset: int, value: int) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(clip(tag, offset, value)(tmp_path))
    frames, grown = in_child(lambda: len(read_media(path).tensor()))
    assert isinstance(frames, MediaError) or 1 <= frames <= 6
    assert grown < 300


def test_archives_name_what_is_in_them_alone(tmp_path: Path) -> None:
    """A symlink and a hard link with the name of a member, names that differ by case, a path that comes back."""
    (tmp_path / "secret.txt").write_text("secret")
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, kind, link in (
            ("a.txt", tarfile.SYMTYPE, str(tmp_path / "secret.txt")),
            ("b.txt", tarfile.LNKTYPE, "../secret.txt"),
            ("x/../../secret.txt", tarfile.REGTYPE, ""),
            ("C.txt", tarfile.REGTYPE, ""),
            ("c.TXT", tarfile.REGTYPE, ""),
        ):
            info = tarfile.TarInfo(name)
            info.type, info.linkname, info.size = kind, link, 5 if kind == tarfile.REGTYPE else 0
            archive.addfile(info, io.BytesIO(b"plain"))
    (tmp_path / "a.tar").write_bytes(buffer.getvalue())
    groups = TarGroups([tmp_path / "a.tar"])
    held, refused = [], 0
    for n in range(len(groups)):
        try:
            held += [blob.read(10) for name, blob in groups[n].items() if not name.startswith("__")]
        except BadRecord:
            refused += 1
    assert set(held) == {b"plain"}
    assert refused


YAML: dict[str, str] = {
    "its own merge": "a: &a\n  <<: *a\n",
    "merges of merges": "a0: &a0 {x: 1}\n"
    + "".join(f"a{n}: &a{n} {{<<: [*a{n - 1}, *a{n - 1}], y{n}: *a{n - 1}}}\n" for n in range(1, 40)),
    "300,000 digits": "a: " + "9" * 300_000,
    "4,000 bits": "a: !!int 0x" + "f" * 1000,
    "a million levels": "a: " + "[" * 10**5,
    "600 levels": "\n".join(" " * n + "a:" for n in range(600)),
    "bytes": "a: !!binary QUJD",
    "a set": "a: !!set {x, y}",
    "python": "a: !!python/name:os.system",
    "two documents": "a: 1\n---\na: 2\n",
    "a list for a key": "? [a, b]\n: 1",
    "no text": "a: \0",
    "the environment": "variables: {a: '${oc.env:HOME}'}",
    "expressions in each other": "variables: {a: '" + "${" * 3000 + "}" * 3000 + "'}",
    "itself": "variables: {a: ['${variables.a}']}",
    "a module": "defaults: ['${package:os}/x.yaml']",
    "a file of another kind": "defaults: [/etc/passwd]",
}


@pytest.mark.parametrize("what", YAML)
def test_configs(tmp_path: Path, what: str) -> None:
    (tmp_path / "c.yaml").write_text(YAML[what])
    with pytest.raises(ConfigError):
        compose([tmp_path / "c.yaml"], safe=True)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hostile")
    options = model_options(save_tokenizer(folder / "tokenizer"), modalities=("image",))
    AnyToAnyModel.from_config({"model": options}).save_pretrained(folder / "saved")
    return folder / "saved"


def llm(**options: Any) -> Callable[[dict[str, Any]], None]:
    return lambda record: record["model"]["llm"].update(options)


def architecture(**options: Any) -> Callable[[dict[str, Any]], None]:
    return lambda record: record["model"]["llm"]["architecture"].update(options)


RECORDS: dict[str, Callable[[dict[str, Any]], None]] = {
    "code of its own": architecture(auto_map={"AutoModelForCausalLM": "evil.M"}),
    "a kernel": architecture(_attn_implementation="evil/kernel"),
    "few bits by others": architecture(quantization_config={"quant_method": "gptq"}),
    "a path for a family": architecture(model_type="../x"),
    "a billion layers": architecture(num_hidden_layers=10**9),
    "a vocabulary of 2^40": architecture(vocab_size=2**40),
    "no heads": architecture(num_attention_heads=0),
    "ten million experts": llm(architecture={"model_type": "mixtral", "num_local_experts": 10**7}),
    "adapters of a terabyte": llm(lora={"rank": 60_000_000}),
    "a pattern for adapters": llm(lora={"rank": 2, "targets": ["(a+)+$"]}),
    "NaN for a weight": lambda record: record["model"]["modalities"]["image"].update(feature_weight=float("nan")),
    "a format to come": lambda record: record.update(format=10**30),
    "a file above": lambda record: record["files"].update({"../x": "0" * 64}),
}


@pytest.mark.parametrize("what", RECORDS)
def test_saved_models(saved: Path, tmp_path: Path, what: str) -> None:
    shutil.copytree(saved, tmp_path / "m")
    record = json.loads((tmp_path / "m" / "config.json").read_text())
    RECORDS[what](record)
    (tmp_path / "m" / "config.json").write_text(json.dumps(record))
    error, grown = in_child(lambda: AnyToAnyModel.from_pretrained(tmp_path / "m", trust=True))
    assert isinstance(error, AnyloomError), error
    assert grown < 800


@pytest.mark.parametrize(
    "text", ['"files": {}}', '"x": ' + "[" * 10**5 + "]" * 10**5 + "}", '"x": ' + "9" * 5000 + "}"]
)
def test_records_that_json_readers_stumble_over(saved: Path, tmp_path: Path, text: str) -> None:
    shutil.copytree(saved, tmp_path / "m")
    before = (tmp_path / "m" / "config.json").read_text()
    (tmp_path / "m" / "config.json").write_text(before.rstrip()[:-1] + ", " + text)
    with pytest.raises(CheckpointError):
        AnyToAnyModel.from_pretrained(tmp_path / "m", trust=True)


@pytest.mark.parametrize("how", ["a link to a file outside", "a pipe", "a folder"])
def test_what_stands_in_a_saved_folder(saved: Path, tmp_path: Path, how: str) -> None:
    shutil.copytree(saved, tmp_path / "m")
    weights = tmp_path / "m" / "model.safetensors"
    if how == "a link to a file outside":
        (tmp_path / "m" / "llm" / "added.json").symlink_to("/etc/passwd")
    else:
        weights.unlink()
        (os.mkfifo if how == "a pipe" else os.mkdir)(weights)
    with pytest.raises(CheckpointError):
        AnyToAnyModel.from_pretrained(tmp_path / "m", trust=True)


class Wide(nn.Module):
    """Layers of 2 GB each, as no tensor alone is too large for."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList()
        for _ in range(10**4):
            self.layers.append(nn.Linear(2**15, 2**14))


def test_layers_that_are_too_large_together_are_refused_before_they_are_filled() -> None:
    def build() -> None:
        with torch.device("cpu"), building._few_modules("x"), pytest.MonkeyPatch.context() as patch:
            patch.setattr(nn.Linear, "reset_parameters", lambda self: None)
            Wide()

    error, grown = in_child(build)
    assert isinstance(error, ConfigError), error
    assert "its parameters take more than" in str(error)
    assert grown < 300
