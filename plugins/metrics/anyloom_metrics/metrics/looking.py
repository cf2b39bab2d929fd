"""Extractors in the hands of metrics: built when they are needed, shared, and left behind when a metric is pickled."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from anyloom.building import build_named, component_class
from anyloom.conversation import Media
from anyloom.errors import ConfigError
from anyloom.options import split_name, validate

__all__ = ["Looking"]


class Looking:
    """Features of media, and of texts where the extractor takes them. Holds options only, so it can be pickled.

    Args:
        options: The extractor's section, ``{name: dino, weights: ...}``; any encoder.
        modality: What is looked at.
        where: YAML key, for errors.

    Raises:
        anyloom.errors.ConfigError: The options are wrong.
    """

    def __init__(self, options: Mapping[str, Any], modality: str, *, where: str = "metric.extractor") -> None:
        name, rest = split_name(dict(options), where=where)
        self.config: Any = validate(component_class("encoder", name, where=where).Config, rest, where=where)
        self.options, self.modality, self.where = dict(options), modality, where

    def encoder(self) -> Any:
        """The extractor, with its weights, on the CPU or GPU that was last used."""
        return _built(json.dumps(self.options, sort_keys=True, default=str), self.where)

    @property
    def sample_rate(self) -> int | None:
        """Hz that the extractor was trained at, where its options tell."""
        return getattr(self.config, "sample_rate", None)

    def require_logits(self) -> None:
        """Refuse an extractor that gives something else than logits of classes, as far as its options tell.

        Raises:
            anyloom.errors.ConfigError: It does.
        """
        if getattr(self.config, "features", "logits") != "logits":
            raise ConfigError(
                f"this metric needs logits of classes, the extractor gives {self.config.features!r}",
                where=f"{self.where}.features",
                fix="set features: logits",
            )

    def width(self) -> int:
        """Width of the features, from a network without memory."""
        with torch.device("meta"):
            encoder = build_named("encoder", self.options, where=self.where)
        return int(encoder.feature_space(self.modality).dim)

    @property
    def untrained(self) -> bool:
        """Whether the extractor has no weights."""
        return "weights" in type(self.config).model_fields and self.config.weights is None

    @torch.no_grad()
    def media(self, items: Sequence[Media], device: torch.device) -> list[Tensor]:
        """Features ``(L, D)`` of each item, float32 on the CPU. Items of one shape go through together.

        Raises:
            anyloom.errors.MediaError: An item has another rate or range than the extractor takes.
        """
        encoder = self.encoder().to(device)
        prepared = [encoder.preprocess(item) for item in items]
        by_shape: dict[tuple[int, ...], list[int]] = {}
        for i, inputs in enumerate(prepared):
            by_shape.setdefault(tuple(inputs.shape), []).append(i)
        found: dict[int, Tensor] = {}
        for members in by_shape.values():
            stack = torch.stack([prepared[i] for i in members]).to(device)
            found.update(zip(members, encoder(stack, self.modality).float().cpu()))
        return [found[i] for i in range(len(items))]

    @torch.no_grad()
    def texts(self, texts: Sequence[str], device: torch.device) -> Tensor:
        """Embeddings ``(B, D)`` of texts, float32 on the CPU.

        Raises:
            anyloom.errors.ConfigError: The extractor does not take texts.
        """
        encoder = self.encoder()
        if not hasattr(encoder, "embed_texts"):
            name = self.options.get("name")
            raise ConfigError(
                f"the extractor {name!r} takes no texts",
                where=self.where,
                fix="use one such as clip-joint or clap-joint",
            )
        found: Tensor = encoder.to(device).embed_texts(list(texts)).float().cpu()
        return found


@functools.lru_cache(maxsize=4)
def _built(options: str, where: str) -> Any:
    """One extractor per set of options, for all metrics of the process."""
    encoder = build_named("encoder", json.loads(options), where=where)
    encoder.load_weights()
    return encoder.requires_grad_(False).eval()
