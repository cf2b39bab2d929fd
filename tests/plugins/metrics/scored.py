"""What tests of metrics over answers share: samples with their answers, and features that need no network."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from anyloom.building import build_named
from anyloom.conversation import Conversation, Media, Message
from anyloom.interfaces import Encoder, Evaluated, FeatureSpace, Sample


class Flat(Encoder):
    """The first numbers of a medium are its feature."""

    def feature_space(self, modality: str) -> FeatureSpace:
        return FeatureSpace(name="flat", dim=8)

    def preprocess(self, media: Media) -> Tensor:
        return media.tensor().float().flatten()[:8]

    def forward(self, inputs: Tensor, modality: str) -> Tensor:
        return inputs[:, None]


FLAT = {"class_path": f"{Flat.__module__}.Flat"}


def metric(name: str, **options: Any) -> Any:
    return build_named("metric", {"name": name, **options}, where="metric")


def pair(answer: Media | None, target: Media, *before: Media, task: str = "edit", **facts: Any) -> Evaluated:
    messages = [Message("user", ["make it so", *before]), Message("assistant", [target])]
    said: list[Any] = ["no"] if answer is None else [answer]
    return Evaluated(Sample(Conversation(messages), task, facts, key=str(facts)), Message("assistant", said))


def values(measure: Any, evaluated: list[Evaluated]) -> dict[str, float]:
    measure.update(evaluated)
    return {k: float(v) for k, v in measure.compute().items()}
