"""What is fuzzed: everything that reads bytes which a stranger may have written.

A target takes bytes and a folder for its files. It may return, or raise a declared error; anything else is a finding,
as is an input that takes longer than :data:`SECONDS`. Most inputs are damaged copies of good ones, the bases.
"""

from __future__ import annotations

import base64
import functools
import io
import json
import random
import shutil
import tarfile
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from anyloom.conversation import Media
from anyloom.errors import AnyloomError
from anyloom.media import write_media
from parts import llm_options, picture, save_tokenizer, sound

__all__ = ["SECONDS", "TARGETS", "Target", "damaged"]

SECONDS = 10.0
"""Longest time of the processor that one input may take."""


@dataclass(frozen=True)
class Target:
    """Something that reads bytes.

    Args:
        name: Its name.
        bases: Good inputs.
        read: Reads one input; the folder is its own.
    """

    name: str
    bases: Callable[[], Sequence[bytes]]
    read: Callable[[bytes, Path], object]

    def __str__(self) -> str:
        return self.name


def damaged(base: bytes, draw: random.Random, words: Sequence[bytes] = ()) -> bytes:
    """A copy with a few changes: bits, bytes, numbers, pieces cut out, doubled, moved, or put in from elsewhere."""
    data = bytearray(base)
    for _ in range(draw.choice((1, 1, 2, 4, 16))):
        if not data:
            data += bytes([draw.randrange(256)])
        at = draw.randrange(len(data))
        length = min(draw.choice((1, 2, 4, 8, 64, 1024)), len(data) - at)
        what = draw.randrange(8)
        if what == 0:
            data[at] ^= 1 << draw.randrange(8)
        elif what == 1:
            data[at] = draw.choice((0, 1, 127, 128, 255, draw.randrange(256)))
        elif what == 2:
            number = draw.choice((0, 1, 2**31 - 1, 2**32 - 1, 2**63, 2**64 - 1))
            data[at : at + length] = number.to_bytes(8, draw.choice(("little", "big")))[:length]
        elif what == 3:
            del data[at : at + length]
        elif what == 4:
            data[at:at] = data[at : at + length] * draw.choice((1, 2, 50))
        elif what == 5:
            del data[at:]
        elif what == 6:
            data[at:at] = draw.choice([*words, b"\0", b"\xff", b"[", b"}", b'"', b"9" * 400, b"${", b"../"])
        else:
            other = draw.randrange(len(data))
            data[at : at + length] = data[other : other + length]
    return bytes(data[: 1 << 20])


def _conversation(data: bytes, folder: Path) -> None:
    from anyloom.data.sources.jsonl import parse_json
    from anyloom.media import conversation_from_json

    if not (folder / "a.png").exists():
        write_media(picture(1), folder / "a.png")
    for media in conversation_from_json(parse_json(data, "line"), root=folder).media:
        media.tensor()


def _lines(data: bytes, folder: Path) -> None:
    from anyloom.data.conversations import ConversationFiles

    (folder / "lines.jsonl").write_bytes(data)
    samples = ConversationFiles.from_options({"train": str(folder / "lines.jsonl")}).build("train")
    for index in range(len(samples)):
        try:
            samples[index]
        except AnyloomError:
            continue


def _config(data: bytes, folder: Path) -> None:
    from anyloom.config.compose import compose

    (folder / "config.yaml").write_bytes(data)
    compose([folder / "config.yaml"], safe=True)


def _overrides(data: bytes, folder: Path) -> None:
    from anyloom.config.compose import compose

    compose([{"data": {"batch_size": 1}}], data.decode("latin1").split("\n"), strict=True)


def _record(data: bytes, folder: Path) -> None:
    from anyloom.config.compose import compose
    from anyloom.config.saved import read_record

    (folder / "config.json").write_bytes(data)
    read_record(folder)
    compose([folder])


def _model(data: bytes, folder: Path) -> None:
    from anyloom import AnyToAnyModel

    if not (folder / "model.safetensors").exists():
        shutil.copytree(_saved(), folder, dirs_exist_ok=True)
    (folder / "config.json").write_bytes(data)
    AnyToAnyModel.from_pretrained(folder)


def _tokenizer(data: bytes, folder: Path) -> None:
    from anyloom_llama.config import CausalLMConfig
    from anyloom_llama.loading import read_tokenizer

    for file in _tokenizer_folder().iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    name, _, content = data.partition(b"\n")
    target = folder / ("tokenizer.json" if name.startswith(b"1") else "tokenizer_config.json")
    target.write_bytes(content)
    read_tokenizer(CausalLMConfig(architecture={"model_type": "llama"}, tokenizer=str(folder)))


def _architecture(data: bytes, folder: Path) -> None:
    from anyloom_llama.config import CausalLMConfig
    from anyloom_llama.loading import build, read_config

    (folder / "config.json").write_bytes(data)
    options = CausalLMConfig(weights=str(folder))
    with torch.device("meta"):
        build(options, read_config(options, 320))


def _template(data: bytes, folder: Path) -> None:
    from anyloom import Message
    from anyloom.errors import ConversationError
    from anyloom_llama.tokenizer import ChatTokenizer

    try:
        tokenizer = ChatTokenizer(_backend(), data.decode("latin1"))
        tokenizer.render([Message("user", "a <s> b"), Message("assistant", "c")])
    except ConversationError:
        return


def _safetensors(data: bytes, folder: Path) -> None:
    from anyloom.storage.headers import describe
    from anyloom.storage.tensors import read_tensors

    (folder / "model.safetensors").write_bytes(data)
    describe(folder / "model.safetensors")
    read_tensors(folder)


def _index(data: bytes, folder: Path) -> None:
    from anyloom.storage.tensors import read_tensors

    (folder / "model.safetensors.index.json").write_bytes(data)
    read_tensors(folder)


def _archive(data: bytes, folder: Path) -> None:
    from anyloom.data.sources.tar import TarGroups

    (folder / "a.tar").write_bytes(data)
    groups = TarGroups([folder / "a.tar"])
    for index in range(min(len(groups), 50)):
        try:
            for name, blob in groups[index].items():
                if not name.startswith("__"):
                    blob.read(1 << 20)
        except AnyloomError:
            continue


def _checkpoint(data: bytes, folder: Path) -> None:
    from anyloom.training.checkpoint_files import CheckpointFiles

    (folder / "a.ckpt").write_bytes(data)
    CheckpointFiles().load_checkpoint(folder / "a.ckpt")


def _converted(data: bytes, folder: Path) -> None:
    from anyloom.cli.to_safetensors import main

    (folder / "a.bin").write_bytes(data)
    main([str(folder / "a.bin")])


def _plugin_set(data: bytes, folder: Path) -> None:
    from anyloom.cli.plugin_set import read_set

    (folder / "set").write_bytes(data)
    read_set(folder / "set")


def _body(data: bytes, folder: Path) -> None:
    """As the server reads a request: its shape, its options, its conversation with the media in it."""
    from pydantic import ValidationError

    from anyloom_serve.answering import options_of
    from anyloom_serve.limits import Limits
    from anyloom_serve.requests import ChatRequest
    from anyloom_serve.wire import Reader

    try:
        body = ChatRequest.model_validate_json(data)
    except ValidationError as error:
        raise AnyloomError(str(error)) from error
    options_of(body, Limits(), ["image", "audio", "video"])
    Reader(Limits(), takes=["image", "audio", "video"], apart=False).conversation(body.messages)


def _media(modality: str, suffix: str) -> Callable[[bytes, Path], object]:
    def read(data: bytes, folder: Path) -> None:
        from anyloom.media import read_media

        limits = {"image": {"max_pixels": 10**6}, "audio": {"max_seconds": 60}, "video": {"max_bytes": 10**8}}
        (folder / f"a{suffix}").write_bytes(data)
        media = read_media(folder / f"a{suffix}", modality, lazy=True, options=limits[modality])
        dict(media.meta)
        assert bool(media.tensor().isfinite().all()), "values are finite"

    return read


@functools.cache
def _tokenizer_folder() -> Path:
    return save_tokenizer(Path(tempfile.mkdtemp()) / "tokenizer")


@functools.cache
def _backend() -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(_tokenizer_folder(), local_files_only=True)


def _json(*values: Any) -> Callable[[], list[bytes]]:
    return lambda: [json.dumps(value).encode() for value in values]


def _written(media: Callable[[], Media], suffix: str) -> Callable[[], list[bytes]]:
    @functools.cache
    def bases() -> list[bytes]:
        with tempfile.TemporaryDirectory() as folder:
            return [write_media(media(), Path(folder) / f"a{suffix}").read_bytes()]

    return bases


def _clip() -> Media:
    values = torch.rand(6, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    return Media("video", values, meta={"fps": 8.0})


def _loud() -> Media:
    wave = sound(1).tensor().repeat(1, 4) * 0.1
    return Media("audio", wave, meta={"sample_rate": 48000.0})


@functools.cache
def _saved() -> Path:
    from anyloom import AnyToAnyModel

    options = {"llm": llm_options(_tokenizer_folder()), "encoders": {"eye": {"name": "conv"}}}
    folder = Path(tempfile.mkdtemp()) / "saved"
    AnyToAnyModel.from_config({"model": {**options, "modalities": {"image": {"encoder": "eye"}}}}).save_pretrained(
        folder
    )
    return folder


def _of_saved(name: str) -> Callable[[], list[bytes]]:
    return lambda: [(_saved() / name).read_bytes()]


def _tensors() -> list[bytes]:
    values = {"a": torch.zeros(4, 4), "b": torch.ones(3, dtype=torch.bfloat16), "c": torch.arange(5)}
    return [safetensors.torch.save(values, {"format": "pt"})]


def _bodies() -> list[bytes]:
    def part(kind: str, made: bytes) -> dict[str, Any]:
        address = f"data:{kind};base64,{base64.b64encode(made).decode()}"
        return {"type": "image_url", "image_url": {"url": address}}

    (image,) = _written(lambda: picture(1), ".png")()
    (heard,) = _written(_loud, ".wav")()
    audio = {"type": "input_audio", "input_audio": {"data": base64.b64encode(heard).decode(), "format": "wav"}}
    content = [{"type": "text", "text": "a"}, part("image/png", image), audio]
    options = {"max_tokens": 4, "temperature": 0.5, "modalities": ["text", "image"], "seed": 1, "stream": False}
    return _json({"messages": [{"role": "user", "content": content}], **options})()


def _archives() -> list[bytes]:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name in ("a.txt", "a.json", "folder/b.txt"):
            info = tarfile.TarInfo(name)
            info.size = 600
            archive.addfile(info, io.BytesIO(bytes(600)))
    return [buffer.getvalue()]


def _torch_files() -> list[bytes]:
    found = []
    version = __import__("lightning").__version__
    for content in (
        {"a": torch.arange(6.0)},
        {"state_dict": {"a": torch.zeros(3)}, "pytorch-lightning_version": version, "loops": {}},
    ):
        buffer = io.BytesIO()
        torch.save(content, buffer)
        found.append(buffer.getvalue())
    return found


_MESSAGES = [
    {"role": "system", "content": "s"},
    {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "image", "path": "a.png", "reference": 0}]},
    {"role": "assistant", "content": "b"},
]
_CONFIG = b"""
defaults: []
variables: {a: &a [1, 2.5e-3, true, null, "x"], b: *a, c: "${variables.a.0}", d: "${.c}/${oc.env:HOME}"}
model: {llm: {name: llama, architecture: {model_type: llama}}}
data: {datasets: {x: {name: conversations, train: x.jsonl}}, batch_size: 4}
stages: {one: {module: {name: decoder}}}
"""
_LLAMA = {
    "model_type": "llama", "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "vocab_size": 320,
    "num_attention_heads": 4, "num_key_value_heads": 2, "rope_scaling": None, "hidden_act": "silu", "auto_map": {},
}  # fmt: skip
_TEMPLATE = b"{{ bos_token }}{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}{{ eos_token }}{% endfor %}"
_PICTURES = (".png", ".jpg", ".webp", ".bmp", ".gif", ".tif")
_SOUNDS = (".wav", ".flac", ".ogg", ".mp3", ".opus")
_CLIPS = (".mp4", ".webm", ".mkv", ".avi", ".mov")

TARGETS: list[Target] = [
    Target("conversations", _json({"messages": _MESSAGES}, _MESSAGES), _conversation),
    Target("lines", lambda: [b"\n".join(_json({"messages": _MESSAGES})() * 3)], _lines),
    Target("configs", lambda: [_CONFIG], _config),
    Target("overrides", lambda: [b"data.batch_size=4\nmodel.couple=[1,2]\nmodel.llm.name=llama"], _overrides),
    Target("records", _of_saved("config.json"), _record),
    Target("models", _of_saved("config.json"), _model),
    Target(
        "tokenizers",
        lambda: [
            b"1\n" + (_tokenizer_folder() / "tokenizer.json").read_bytes(),
            b"2\n" + (_tokenizer_folder() / "tokenizer_config.json").read_bytes(),
        ],
        _tokenizer,
    ),
    Target("architectures", _json(_LLAMA), _architecture),
    Target("templates", lambda: [_TEMPLATE], _template),
    Target("safetensors", _tensors, _safetensors),
    Target("indices", _json({"weight_map": {"a": "x.safetensors", "b": "../y.safetensors"}}), _index),
    Target("archives", _archives, _archive),
    Target("checkpoints", _torch_files, _checkpoint),
    Target("pickles", _torch_files, _converted),
    Target("bodies", _bodies, _body),
    Target("plugin-sets", lambda: [b"# plugins\na==1.0\nb-c==2.0.1\n"], _plugin_set),
    *(Target(f"image{s}", _written(lambda: picture(1), s), _media("image", s)) for s in _PICTURES),
    *(Target(f"audio{s}", _written(_loud, s), _media("audio", s)) for s in _SOUNDS),
    *(Target(f"video{s}", _written(_clip, s), _media("video", s)) for s in _CLIPS),
]
