"""Tiny forms of the metrics that need no model, for ``anyloom plugins check`` and the tests."""

from __future__ import annotations

from pathlib import Path

import torch

from anyloom.conversation import Conversation, Media, Message
from anyloom.interfaces import Evaluated, Sample
from anyloom.testing import MetricCase

__all__ = ["caption_words", "picture_choice", "spectral_distance"]


def caption_words(folder: Path) -> MetricCase:
    """Four captions, some right, some wrong."""
    del folder
    pairs = [("a red hat", "a red hat"), ("a hat", "the red hat"), ("", "a cat"), ("two cats", "a cat")]
    evaluated = [
        Evaluated(Sample(Conversation([Message("assistant", target)]), "caption"), Message("assistant", answer))
        for answer, target in pairs
    ]
    return MetricCase("caption-words", evaluated=evaluated)


def _sound(seed: int) -> Media:
    wave = torch.randn(1, 1200, generator=torch.Generator().manual_seed(seed))
    return Media("audio", 0.1 * wave, key=f"sound-{seed}", meta={"sample_rate": 16000.0})


def spectral_distance(folder: Path) -> MetricCase:
    """Four sounds that were asked for, and the answers."""
    del folder
    evaluated = []
    for n in range(4):
        messages = [Message("user", ["louder ", _sound(n)]), Message("assistant", [_sound(n + 10)])]
        answer = Message("assistant", [_sound(n + 20)] if n else "no sound")
        evaluated.append(Evaluated(Sample(Conversation(messages), "edit"), answer))
    return MetricCase("spectral-distance", evaluated=evaluated)


def picture_choice(folder: Path) -> MetricCase:
    """Grids of two by three plain pictures; right, half right, wrong and missing answers."""
    del folder
    grid = tuple(tuple(_plain(row, column) for column in range(3)) for row in range(2))
    facts = {"grid": grid, "chosen": {"given": 1, "inferred": 2}}
    sample = Sample(Conversation([Message("user", "a: "), Message("assistant", [grid[1][2]])]), "inference", facts)
    answers: list[Message] = [Message("assistant", [grid[row][column]]) for row, column in ((1, 2), (1, 0), (0, 0))]
    evaluated = [Evaluated(sample, answer) for answer in (*answers, Message("assistant", "no picture"))]
    return MetricCase("picture-choice", options={"answer": "pixels"}, evaluated=evaluated)


def _plain(row: int, column: int) -> Media:
    colour = torch.tensor([row * 200, column * 100, 0], dtype=torch.uint8)
    return Media("image", colour[:, None, None].expand(3, 8, 8), key=f"plain-{row}-{column}")
