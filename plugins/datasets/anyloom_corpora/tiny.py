"""Tiny forms of what this package offers, for ``anyloom plugins check`` and the tests."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from anyloom.testing import DatasetCase, ModalityCase
from anyloom_corpora.fixtures.layouts import write_layout
from anyloom_corpora.text_feature import text_feature

__all__ = [
    "alpaca",
    "archives",
    "audiocaps",
    "audioset",
    "captioned",
    "chats",
    "cobsat",
    "dream_bench",
    "instruct_pix2pix",
    "kosmos_g",
    "laion",
    "mimic_it",
    "mimic_it_mix",
    "open_images",
    "prompts",
    "shards",
    "tasks",
    "texts",
    "webvid",
]


def texts(folder: Path) -> ModalityCase:
    """Two phrases."""
    del folder
    words = {"broken_files_are_refused": "a file of words is what this modality reads"}
    media = [text_feature("six legs"), text_feature("größer als 3 €")]
    return ModalityCase("text-feature", media=media, expected_failures=words)


def tasks(folder: Path) -> DatasetCase:
    """AUDIT's edits of sounds with class words."""
    root = write_layout("sound-classes", folder)
    source = {
        "name": "captioned",
        "root": str(root),
        "train": "meta/esc50.csv",
        "audio": ["audio/{filename}"],
        "caption": "category",
        "label": "category",
    }
    weights = {"audio-add": 1, "audio-replace": 1, "audio-exemplar": {"weight": 2, "shots": [1, 2]}}
    return DatasetCase("tasks", options={"source": source, "tasks": weights})


def _case(
    name: str, layout: str, splits: Sequence[str], options: Mapping[str, Any] | None = None
) -> Callable[[Path], DatasetCase]:
    def case(folder: Path) -> DatasetCase:
        root = write_layout(layout, folder)
        return DatasetCase(name, options={"root": str(root), **(options or {})}, splits=splits, look_at=4)

    case.__doc__ = f"The layout {layout}, a few records."
    return case


def archives(folder: Path) -> DatasetCase:
    """Edits that were built into two archives."""
    from anyloom.survey.build import Plan, build

    options = {"name": "instruct-pix2pix", "root": str(write_layout("instruct-pix2pix", folder / "raw"))}
    edits = {**options, "shares": [1, 0, 0], "tasks": {"image-edit": 1}}
    build(Plan({"datasets": {"edits": edits}}, "train", 4, 2), folder / "built")
    return DatasetCase("archives", options={"root": str(folder / "built")}, splits=("train",), look_at=4)


alpaca = _case("alpaca", "alpaca", ("train",))
audiocaps = _case("audiocaps", "audiocaps", ("train", "val", "test"))
audioset = _case("audioset", "audioset", ("train", "test"))
_CLIPS = {"train": "results_10M_train.csv", "video": ["videos/{page_dir}/{videoid}.mp4"], "caption": "name"}
captioned = _case("captioned", "webvid", ("train",), _CLIPS)

chats = _case("chats", "chats", ("train", "val"), {"train": "llama_factory.json", "val": "openai.jsonl"})
cobsat = _case("cobsat", "cobsat", ("test",), {"numbers": [1, 2]})
dream_bench = _case("dream-bench", "dream-bench", ("test",))
instruct_pix2pix = _case("instruct-pix2pix", "instruct-pix2pix", ("train",), {"tasks": {"image-edit": 1}})
kosmos_g = _case("kosmos-g", "kosmos-g", ("train",))
laion = _case("laion", "laion", ("train",))
mimic_it = _case("mimic-it", "mimic-it", ("train",), {"subset": "DC"})
mimic_it_mix = _case("mimic-it-mix", "mimic-it-mix", ("train",), {"mix": "mix.yaml"})
open_images = _case("open-images", "open-images", ("train", "val"))
prompts = _case("prompts", "geneval", ("test",), {"file": "evaluation_metadata.jsonl", "digits": 5, "family": "tag"})
shards = _case("shards", "webvid-tars", ("train",), {"modalities": ["video"]})
webvid = _case("webvid", "webvid", ("train", "val"))
