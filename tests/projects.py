"""A small project on disk: conversations with real media files, and a config that trains on them."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import lightning
import torch
import yaml

from anyloom import AnyToAnyModel
from anyloom.conversation import Media
from anyloom.media import write_media
from anyloom.representation.projector import MLPProjector
from anyloom.storage.tensors import load_into, read_tensors
from parts import PatchEncoder, image_decoder_options, model_options, picture, save_tokenizer, sound


def write_conversations(folder: Path, name: str, count: int = 8) -> Path:
    """``count`` lines: a picture or a sound and words in, words and the other kind of media out."""
    lines = []
    for i in range(count):
        image = {"type": "image", "path": write_media(picture(i), folder / f"{i}.png").name}
        audio = {"type": "audio", "path": write_media(sound(i), folder / f"{i}.wav").name}
        given, target = (image, audio) if i % 2 else (audio, image)
        text = {"type": "text", "text": "make it blue " * (1 + i % 3)}
        messages = [
            {"role": "user", "content": [text, given]},
            {"role": "assistant", "content": [{"type": "text", "text": "hello there"}, target]},
        ]
        lines.append(json.dumps({"messages": messages, "task": f"task-{i % 2}"}))
    path = folder / name
    path.write_text("\n".join(lines) + "\n")
    return path


def save_brush_model(folder: Path, tokenizer: Path) -> None:
    """A saved model of pictures, with a decoder of random weights."""
    options = model_options(tokenizer, modalities=("image",), decoders={"brush": image_decoder_options()})
    options["modalities"]["image"]["decoder"] = "brush"
    torch.manual_seed(0)
    AnyToAnyModel.from_config({"model": options}).save_pretrained(folder)


def write_suite(
    folder: Path,
    count: int,
    metrics: Sequence[str],
    batch_size: int,
    shown: Callable[[int], Media] = picture,
) -> None:
    """``suite.yaml``, which asks for ``count`` pictures that were made blue."""
    lines = []
    for n in range(count):
        before, after = (write_media(shown(2 * n + i), folder / f"p{2 * n + i}").name for i in (0, 1))
        asked = [{"type": "text", "text": "make it blue"}, {"type": "image", "path": before}]
        answer = [{"type": "text", "text": "so"}, {"type": "image", "path": after}]
        messages = [{"role": "user", "content": asked}, {"role": "assistant", "content": answer}]
        lines.append(json.dumps({"messages": messages, "task": "edit"}))
    (folder / "data.jsonl").write_text("\n".join(lines))
    suite = {
        "title": "Tiny",
        "data": {"datasets": {"own": {"name": "conversations", "test": str(folder / "data.jsonl")}}},
        "metrics": {name: {"name": name} for name in metrics},
        "batch_size": batch_size,
        "shown": 1,
    }
    (folder / "suite.yaml").write_text(yaml.safe_dump({"suite": suite}))


def brush_sections(folder: Path) -> dict[str, Any]:
    """:func:`sections` with a decoder of pictures."""
    made = sections(folder)
    made["model"]["decoders"] = {"brush": image_decoder_options()}
    made["model"]["modalities"]["image"]["decoder"] = "brush"
    return made


def sections(folder: Path, *, max_steps: int = 3, **model: Any) -> dict[str, Any]:
    """The sections of a config whose every file lies in ``folder``."""
    tokenizer = save_tokenizer(folder / "tokenizer")
    data = folder / "data"
    data.mkdir()
    train, held_out = write_conversations(data, "train.jsonl"), write_conversations(data, "held-out.jsonl", 3)
    dataset = {"name": "conversations", "train": str(train), "val": str(held_out), "test": str(held_out)}
    options = model_options(tokenizer, **model)
    for modality in options["modalities"].values():
        modality.setdefault("representation", {"name": "autoregressive", "feature_noise": 0.1})
    return {
        "model": options,
        "module": {"name": "any-to-any", "optimizer": {"lr": 0.01}},
        "data": {"datasets": {"small": dataset}, "batch_size": 2},
        "trainer": {
            "accelerator": "cpu",
            "max_steps": max_steps,
            "log_every_n_steps": 1,
            "default_root_dir": str(folder / "run"),
            "logger": [
                {
                    "class_path": "lightning.pytorch.loggers.CSVLogger",
                    "init_args": {"save_dir": str(folder / "run"), "name": "csv"},
                }
            ],
            "enable_progress_bar": False,
            "enable_model_summary": False,
        },
        "result": str(folder / "result"),
    }


def write_config(folder: Path, sections: dict[str, Any], name: str = "config.yaml") -> str:
    """Write sections as a YAML file and return its path."""
    path = folder / name
    path.write_text(yaml.safe_dump(sections, sort_keys=False))
    return str(path)


class PowerCut(lightning.Callback):
    """Ends a run the hard way before a step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_start(self, trainer: Any, *_: Any) -> None:
        if trainer.global_step == self.step:
            raise RuntimeError("power cut")


class Stop(lightning.Callback):
    """Ends the process's work at a place: hard (an exception), or by a signal to itself."""

    def __init__(self, batch: int, how: str = "hard", hook: str = "train") -> None:
        self.batch, self.how, self.hook, self.seen = batch, how, hook, 0

    def _count(self) -> None:
        self.seen += 1
        if self.seen == self.batch + 1:
            if self.how == "hard":
                raise RuntimeError("power cut")
            os.kill(os.getpid(), getattr(signal, self.how))

    def on_train_batch_start(self, *_: Any) -> None:
        if self.hook == "train":
            self._count()

    def on_validation_batch_start(self, trainer: Any, *_: Any) -> None:
        if self.hook == "validation" and not trainer.sanity_checking:
            self._count()


class KilledRank(Stop):
    """Kills one of several processes before a batch."""

    def __init__(self, batch: int, rank: int) -> None:
        super().__init__(batch, "SIGKILL")
        self.rank = rank

    def on_train_batch_start(self, trainer: Any, *_: Any) -> None:
        if trainer.global_rank == self.rank:
            self._count()


class LongBatch(lightning.Callback):
    """Makes the batches after the second take a minute, as a hanging disk would."""

    def on_train_batch_start(self, trainer: Any, *_: Any) -> None:
        if trainer.global_step >= 2:
            Path(trainer.default_root_dir, "long").touch()
            time.sleep(60)


class PoisonedRank(lightning.Callback):
    """Makes the loss of the second process bad at the second step."""

    def on_before_backward(self, trainer: Any, module: Any, loss: Any) -> None:
        if trainer.global_rank == 1 and trainer.global_step == 1:
            loss.data.fill_(float("nan"))


class SampleRecorder(lightning.Callback):
    """Writes which samples a process has trained on, and what its weights add up to."""

    def __init__(self) -> None:
        self.samples: list[str] = []

    def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.samples += [s.provenance["source"] for s in batch.samples]

    def on_train_end(self, trainer: Any, module: Any) -> None:
        weights = sum(float(p.detach().double().sum()) for p in module.parameters())
        path = Path(trainer.default_root_dir) / f"seen-{trainer.global_rank}.json"
        path.write_text(json.dumps({"samples": self.samples, "weights": weights}))


class FileEncoder(PatchEncoder):
    """Reads its weights from a file."""

    class Config(PatchEncoder.Config):
        weights: Path

    def load_weights(self) -> None:
        load_into(self, read_tensors(self.config.weights), where=str(self.config.weights))

    def weight_files(self) -> list[Path]:
        return [self.config.weights]


class FileProjector(MLPProjector):
    """A projector that reads its weights from a file."""

    class Config(MLPProjector.Config):
        weights: Path | None = None
        table: Path | None = None
        freeze: bool = False

    def load_weights(self) -> None:
        if self.config.weights is not None:
            load_into(self, read_tensors(self.config.weights), where=str(self.config.weights))

    def weight_files(self) -> list[Path]:
        return [] if self.config.weights is None else [self.config.weights]


class BrokenEncoder(PatchEncoder):
    """Fails in its constructor, as a plugin with a bug would."""

    def __init__(self, config: Any) -> None:
        raise RuntimeError("out of order")
