"""The stage that trains the encoder: components in closed form, then the tower against captions."""

from __future__ import annotations

import math
from binascii import crc32
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F

from anyloom.building import build_named
from anyloom.config.schema import OptimizerConfig, SchedulerConfig
from anyloom.errors import ConfigError
from anyloom.interfaces import ComponentConfig, Sample, TrainingModule
from anyloom.sequence.preprocess import Preprocess
from anyloom.training.optimizer import make_optimizer
from anyloom_conv.augmentation import augment
from anyloom_conv.encoder import ConvEncoder
from anyloom_conv.principal import components, symmetrise

__all__ = ["ConvEncoderStage"]


@dataclass
class Pairs:
    """Media ``(B, C, size, size)`` and the words that describe them, ids ``(B, W)`` with 0 for none."""

    inputs: Tensor
    words: Tensor


class CaptionCollator:
    """Takes from each sample its first medium of a modality and the text of the other side.

    Words are hashed into a table: what matters here is which words two captions share, not their order.
    """

    def __init__(self, encoder: ConvEncoder, table: int) -> None:
        self.modality, self.preprocess, self.table = encoder.config.modality, Preprocess(encoder), table

    def __call__(self, samples: Sequence[Sample]) -> Pairs | None:
        """Make a batch; None if no sample has such a medium."""
        found = [(m, self._text(s)) for s in samples for m in s.conversation.media[:1] if m.modality == self.modality]
        if not found:
            return None
        ids = [self._ids(text) for _, text in found]
        words = torch.zeros(len(ids), max(map(len, ids)), dtype=torch.long)
        for row, found_ids in enumerate(ids):
            words[row, : len(found_ids)] = torch.tensor(found_ids)
        return Pairs(torch.stack([self.preprocess(m) for m, _ in found]), words)

    def _text(self, sample: Sample) -> str:
        """The messages without media, if any has words: a caption, not the question it answers."""
        messages = sample.conversation.messages
        bare = " ".join(m.text for m in messages if not any(x.modality == self.modality for x in m.media))
        return bare if bare.strip() else " ".join(m.text for m in messages)

    def _ids(self, text: str) -> list[int]:
        words = "".join(c.lower() if c.isalnum() or c == "-" else " " for c in text).split() or ["-"]
        return [crc32(w.encode()) % (self.table - 1) + 1 for w in words]


class ConvEncoderStage(TrainingModule):
    """Fits the principal components before the first step and trains the tower by InfoNCE (CLIP's loss).

    Logs ``train/loss`` and the share of captions found among those of the batch, ``train/found``.

    >>> from anyloom_conv.tiny import TINY
    >>> stage = ConvEncoderStage(ConvEncoderStage.Config(encoder={"name": "conv", **TINY}, words=32), model={})
    >>> print(stage.encoder.feature_space("image"))
    conv-image (1 x 28, standard)
    """

    class Config(ComponentConfig):
        """Options.

        Args:
            encoder: The encoder component.
            optimizer: Learning rate and its schedule.
            scheduler: A schedule by its class, in place of warm-up and cosine.
            statistics: Batches from which components and scales are computed.
            words: Rows of the hashed word table.
            words_weight: Weight of a second loss: which words the caption has, read linearly from the tower's output.
            augment: Mirror, turn, move and blur pictures at random, so that the tower is blind to these.
        """

        encoder: dict[str, Any]
        optimizer: OptimizerConfig = OptimizerConfig()
        scheduler: SchedulerConfig | None = None
        statistics: PositiveInt = 16
        words: PositiveInt = 4096
        words_weight: float = Field(0.0, ge=0)
        augment: bool = False

    config: Config

    def __init__(self, config: Config, model: dict[str, Any]) -> None:
        super().__init__(config, model)
        encoder = build_named("encoder", {**config.encoder, "weights": None}, where="module.encoder")
        assert isinstance(encoder, ConvEncoder)
        if encoder.config.modality == "video":
            fix = "train one of pictures (modality: image) and name its folder as weights of the one of clips"
            raise ConfigError("clips are seen by an encoder of pictures", where="module.encoder.modality", fix=fix)
        self.encoder = encoder.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        width = max(encoder.config.meaning_dim, 1)
        self.text = nn.EmbeddingBag(config.words, width, mode="mean", padding_idx=0)
        self.named = nn.Linear(width, config.words) if config.words_weight else None
        if self.named is not None:
            nn.init.zeros_(self.named.weight)
            nn.init.constant_(self.named.bias, -7.0)  # a word is in about one caption of a thousand
        self.log_scale = nn.Parameter(torch.tensor(math.log(10.0)))
        self._read: list[Tensor] = []

    def collator(self) -> CaptionCollator:
        """Pairs of media and words."""
        return CaptionCollator(self.encoder, self.config.words)

    def configure_optimizers(self) -> Any:
        """AdamW over the tower and the word table."""
        return make_optimizer(self.named_parameters(), self.config.optimizer, self.trainer, self.config.scheduler)

    def on_train_start(self) -> None:
        """Fit the components, unless training is resumed."""
        if self.trainer.global_step == 0:
            self._fit_components()

    def _sample(self) -> Iterator[Tensor]:
        """Some training media, preprocessed, on the module's device; read once."""
        if not self._read:
            loader: Any = self.trainer.datamodule.train_dataloader()  # type: ignore[attr-defined]
            self._read = [b.inputs for _, b in zip(range(self.config.statistics), loader) if b is not None]
        return (x.to(self.device) for x in self._read)

    @torch.no_grad()
    def _fit_components(self) -> None:
        encoder, c = self.encoder, self.encoder.config
        flat = torch.cat([encoder.pooled(x) for x in self._sample()])
        if c.modality == "image":
            moment = symmetrise(flat.T @ flat / len(flat), (encoder.channels, c.grid, c.grid))
        else:
            moment = torch.cov(flat.T)
        projection = components(moment, c.layout_dim)
        layout = flat @ projection
        size = (layout - layout.mean(0)).std()
        encoder.projection.copy_(projection / size)
        if c.modality != "image":
            encoder.layout_mean.copy_(layout.mean(0) / size)

    def _loss(self, batch: Pairs, stage: str) -> Tensor | None:
        if self.encoder.tower is None or len(batch.inputs) < 2:
            return None
        inputs = augment(batch.inputs) if stage == "train" and self.config.augment else batch.inputs
        meaning = self.encoder.meaning(inputs)
        media = F.normalize(meaning, dim=-1)
        text = F.normalize(self.text(batch.words), dim=-1)
        scores = self.log_scale.clamp(max=math.log(100.0)).exp() * media @ text.T
        same = (batch.words[:, None] == batch.words[None]).all(-1).float()
        target = same / same.sum(1, keepdim=True)
        loss = (F.cross_entropy(scores, target) + F.cross_entropy(scores.T, target)) / 2
        if self.named is not None:
            words = self._words_loss(self.named(meaning), batch.words)
            self.log(f"{stage}/words", words, batch_size=len(text))
            loss = loss + self.config.words_weight * words
        found = same.gather(1, scores.argmax(1, keepdim=True)).mean()
        self.log(f"{stage}/loss", loss, prog_bar=stage == "train", batch_size=len(text))
        self.log(f"{stage}/found", found, prog_bar=stage == "train", batch_size=len(text))
        return loss

    @staticmethod
    def _words_loss(logits: Tensor, words: Tensor) -> Tensor:
        """Cross-entropy of every word of the table, summed over the table: logits ``(B, T)``, ids ``(B, W)``."""
        has = torch.zeros_like(logits).scatter_(1, words, 1.0)
        has[:, 0] = 0.0
        return F.binary_cross_entropy_with_logits(logits, has, reduction="sum") / len(logits)

    def training_step(self, batch: Pairs | None, batch_idx: int) -> Tensor | None:
        """InfoNCE in both directions; equal captions share the target."""
        loss = None if batch is None else self._loss(batch, "train")
        return self.nothing_to_learn() if loss is None else loss

    def validation_step(self, batch: Pairs | None, batch_idx: int) -> None:
        """The same on held-out subjects."""
        if batch is not None:
            self._loss(batch, "val")

    @torch.no_grad()
    def on_train_end(self) -> None:
        """Scale the tower's output to unit variance."""
        if self.encoder.tower is None:
            return
        raw = torch.cat([self.encoder.meaning(x) for x in self._sample()])
        self.encoder.meaning_mean.copy_(raw.mean(0))
        self.encoder.meaning_std.copy_(raw.std(0).clamp_min(1e-4))
        self._read = []

    def save_result(self, folder: Path) -> None:
        """Write the encoder as a folder for its ``weights`` option."""
        self.encoder.save(folder)
