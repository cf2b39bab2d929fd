"""Tiny forms of the metrics, for ``anyloom plugins check`` and the tests: networks are random, samples few."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from anyloom.conversation import Conversation, Media, Message
from anyloom.interfaces import Evaluated, Sample
from anyloom.storage.tensors import write_tensors
from anyloom.testing import MetricCase
from anyloom_metrics.tiny_extractors import WORDS, write_clap, write_clip

__all__ = [
    "adapter",
    "captions",
    "choices",
    "clap_score",
    "clip_score",
    "clipsim",
    "directional",
    "frame_text",
    "frechet",
    "image_alignment",
    "inception_score",
    "kernel",
    "lpips",
    "paired_kl",
    "psnr",
    "retrieval",
    "spectral",
    "ssim",
    "structure",
    "synchrony",
    "text_image",
    "vqa",
    "wer",
]

COUNT = 6
DINO = {"name": "dino", "hidden_size": 12, "layers": 1, "heads": 2}
CNN = {"name": "cnn14", "thin": 32, "features": "logits"}


def picture(seed: int) -> Media:
    """A picture of 20 x 24 pixels."""
    data = torch.rand(3, 20, 24, generator=torch.Generator().manual_seed(seed))
    return Media("image", data, key=f"picture-{seed}")


def sound(seed: int) -> Media:
    """Half a second at 16 kHz."""
    data = 0.1 * torch.randn(1, 8000, generator=torch.Generator().manual_seed(seed))
    return Media("audio", data, key=f"sound-{seed}", meta={"sample_rate": 16000.0})


def clip(seed: int) -> Media:
    """A second of 10 frames, one of them bright."""
    data = torch.zeros(10, 3, 4, 4)
    data[2 + seed % 6] = 1.0
    return Media("video", data, key=f"clip-{seed}", meta={"fps": 10.0})


def beep(seed: int) -> Media:
    """A second at 16 kHz with a beep a frame after the bright one."""
    data = torch.zeros(1, 16000)
    start = 1600 * (3 + seed % 6)
    data[0, start : start + 800] = torch.sin(torch.arange(800) * 0.2)
    return Media("audio", data, key=f"beep-{seed}", meta={"sample_rate": 16000.0})


def words(seed: int, count: int = 4) -> str:
    """A text of the tiny vocabulary."""
    chosen = torch.randint(len(WORDS), (count,), generator=torch.Generator().manual_seed(seed))
    return " ".join(WORDS[i] for i in chosen)


def edits(media: Callable[[int], Media], **facts: Any) -> list[Evaluated]:
    """Edits with input, target and answer, by family and number of examples; the last has no answer."""
    found = []
    for n in range(COUNT):
        texts = {"caption": words(n), "edited_caption": words(n + 50), "real": (media(n), media(n + 10))}
        provenance = {"family": "tone" if n % 2 else "shape", "k": n % 3, **texts, **facts}
        messages = [Message("user", [words(n + 90), media(n)]), Message("assistant", [media(n + 100)])]
        answer: list[Any] = [media(n + 200)] if n < COUNT - 1 else ["sorry"]
        sample = Sample(Conversation(messages), "edit", provenance, key=f"sample-{n}")
        found.append(Evaluated(sample, Message("assistant", answer)))
    return found


def replies(**facts: Any) -> list[Evaluated]:
    """Questions with written answers."""
    found = []
    for n in range(COUNT):
        messages = [Message("user", "what is it?"), Message("assistant", words(n))]
        said = words(n) if n % 2 else words(n + 7)
        sample = Sample(Conversation(messages), "ask", facts, key=f"question-{n}")
        found.append(Evaluated(sample, Message("assistant", said)))
    return found


def frechet(folder: Path) -> MetricCase:
    """Of pictures, through a random DINO."""
    del folder
    return MetricCase("frechet-distance", options={"extractor": DINO, "modality": "image"}, evaluated=edits(picture))


def kernel(folder: Path) -> MetricCase:
    """Of pictures, through a random DINO."""
    del folder
    options = {"extractor": DINO, "modality": "image", "subsets": 5, "subset_size": 2, "draws": 4}
    return MetricCase("kernel-distance", options=options, evaluated=edits(picture))


def inception_score(folder: Path) -> MetricCase:
    """Of sounds, through a random Cnn14."""
    del folder
    options = {"extractor": CNN, "modality": "audio", "splits": 2, "draws": 4}
    return MetricCase("inception-score", options=options, evaluated=edits(sound))


def paired_kl(folder: Path) -> MetricCase:
    """Through a random Cnn14."""
    del folder
    return MetricCase("paired-kl-divergence", options={"extractor": CNN}, evaluated=edits(sound))


def spectral(folder: Path) -> MetricCase:
    """Of noise."""
    del folder
    return MetricCase("log-spectral-distance", evaluated=edits(sound))


def directional(folder: Path) -> MetricCase:
    """Through a random CLIP."""
    return _clip("clip-directional-similarity", folder)


def clipsim(folder: Path) -> MetricCase:
    """The alias."""
    return _clip("clipsim", folder)


def image_alignment(folder: Path) -> MetricCase:
    """With all real pictures."""
    return _clip("image-alignment", folder, pairing="all")


def text_image(folder: Path) -> MetricCase:
    """Through a random CLIP."""
    return _clip("text-image-alignment", folder)


def frame_text(folder: Path) -> MetricCase:
    """Through a random CLIP."""
    extractor = {"name": "clip-joint", "weights": str(write_clip(folder / "clip"))}
    return MetricCase("clip-frame-text", options={"extractor": extractor}, evaluated=edits(clip))


def clip_score(folder: Path) -> MetricCase:
    """With references."""
    return _clip("clip-score", folder, facts={"references": (words(1), words(2))})


def retrieval(folder: Path) -> MetricCase:
    """Through a random CLIP."""
    return _clip("text-media-retrieval", folder, top=(1, 2))


def clap_score(folder: Path) -> MetricCase:
    """Through a random CLAP."""
    extractor = {"name": "clap-joint", "weights": str(write_clap(folder / "clap"))}
    return MetricCase("clap-score", options={"extractor": extractor}, evaluated=edits(sound))


def psnr(folder: Path) -> MetricCase:
    """Of noise."""
    del folder
    return MetricCase("psnr", evaluated=edits(picture))


def ssim(folder: Path) -> MetricCase:
    """Of noise."""
    del folder
    return MetricCase("ssim", evaluated=edits(picture))


def lpips(folder: Path) -> MetricCase:
    """Through a random network."""
    from anyloom_metrics.extractors.perceptual import PerceptualNetwork

    state = {k: v.abs() if k.startswith("lin") else v for k, v in PerceptualNetwork().state_dict().items()}
    write_tensors(state, folder / "lpips.safetensors")
    larger = edits(lambda n: Media("image", torch.rand(3, 64, 64), key=f"large-{n}"))
    return MetricCase("lpips", options={"weights": str(folder / "lpips.safetensors")}, evaluated=larger)


def captions(folder: Path) -> MetricCase:
    """Some right, some wrong."""
    del folder
    return MetricCase("captions", evaluated=replies(), options={"draws": 3})


def vqa(folder: Path) -> MetricCase:
    """Answers of ten people, who do not agree."""
    del folder
    return MetricCase("vqa-accuracy", evaluated=replies(answers=tuple(words(n % 4) for n in range(10))))


def choices(folder: Path) -> MetricCase:
    """Words that are right, wrong and doubtful."""
    del folder
    lists = {"given": ("red", "blue"), "inferred": ("hat", "cup")}
    found = []
    for n in range(COUNT):
        messages = [Message("user", "hat: "), Message("assistant", ["a red hat"])]
        facts = {"choices": lists, "chosen": {"given": 0, "inferred": 0}}
        sample = Sample(Conversation(messages), "inference", facts, key=f"choice-{n}")
        said = ("a red hat", "a blue hat", "a red hat in a cup")[n % 3]
        found.append(Evaluated(sample, Message("assistant", [said])))
    return MetricCase("choice-accuracy", evaluated=found)


def wer(folder: Path) -> MetricCase:
    """Some right, some wrong."""
    del folder
    return MetricCase("word-error-rate", evaluated=replies())


def structure(folder: Path) -> MetricCase:
    """Answers with a picture where one was asked for, but for the last."""
    del folder
    return MetricCase("answer-structure", evaluated=edits(picture))


def synchrony(folder: Path) -> MetricCase:
    """Flashes with beeps."""
    del folder
    found = []
    for n in range(COUNT):
        messages = [Message("user", "flash"), Message("assistant", [clip(n), beep(n)])]
        sample = Sample(Conversation(messages), "joint", key=f"flash-{n}")
        found.append(Evaluated(sample, Message("assistant", [clip(n), beep(n + (n > 2))])))
    return MetricCase("audio-video-synchrony", evaluated=found)


def adapter(folder: Path) -> MetricCase:
    """torchmetrics' SSIM."""
    del folder
    options = {
        "class_path": "torchmetrics.image.StructuralSimilarityIndexMeasure",
        "init_args": {"data_range": 1.0},
        "modality": "image",
        "blocks": 3,
    }
    return MetricCase("torchmetrics", options=options, evaluated=edits(picture))


def _clip(name: str, folder: Path, *, facts: dict[str, Any] | None = None, **options: Any) -> MetricCase:
    extractor = {"name": "clip-joint", "weights": str(write_clip(folder / "clip"))}
    return MetricCase(name, options={"extractor": extractor, **options}, evaluated=edits(picture, **(facts or {})))
