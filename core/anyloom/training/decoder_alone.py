"""Training any decoder by its own loss, on features of a frozen encoder, before the assembled model uses it frozen."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import PositiveInt
from torch import Tensor

from anyloom.building import build_named
from anyloom.config.schema import OptimizerConfig, SchedulerConfig
from anyloom.interfaces.component import ComponentConfig
from anyloom.interfaces.decoder import Condition, Decoder
from anyloom.interfaces.encoder import Encoder
from anyloom.interfaces.module import TrainingModule
from anyloom.network.spaces import space_error
from anyloom.sequence.media_targets import MediaTargets, TargetCollator
from anyloom.sequence.preprocess import Preprocess
from anyloom.storage.tensors import load_into, read_tensors, write_tensors
from anyloom.training.chance import content_seeds
from anyloom.training.optimizer import clip_gradients, make_optimizer

__all__ = ["DecoderTraining"]


class DecoderTraining(TrainingModule):
    """Trains a decoder of any kind with its ``forward``; logs ``train/loss`` and ``val/loss``.

    The result is a folder with ``model.safetensors``, for a decoder whose ``load_weights`` reads one. Latent diffusion
    decoders have stages of their own, which also train the autoencoder and keep latents in memory.
    """

    class Config(ComponentConfig):
        """Options.

        Args:
            encoder: The encoder component whose features are the conditions; kept frozen.
            decoder: The decoder component. Its ``weights`` say where it is read in use, and are not read here.
            start_from: Folder with ``model.safetensors`` to start from, in place of random weights.
            optimizer: Learning rate and its schedule.
            scheduler: A schedule by its class, in place of warm-up and cosine.
            roles: Train on media of ``all`` messages, or of the ``assistant`` only.
            limit: At most so many media per batch.
        """

        encoder: dict[str, Any]
        decoder: dict[str, Any]
        start_from: Path | None = None
        optimizer: OptimizerConfig = OptimizerConfig()
        scheduler: SchedulerConfig | None = None
        roles: Literal["all", "assistant"] = "all"
        limit: PositiveInt | None = None

    config: Config

    def __init__(self, config: Config, model: dict[str, Any]) -> None:
        super().__init__(config, model)
        self.strict_loading = False
        decoder: Decoder = build_named("decoder", {**config.decoder, "freeze": False}, where="module.decoder")
        encoder: Encoder = build_named("encoder", config.encoder, where="module.encoder")
        if (error := space_error(encoder, decoder, where="module.decoder")) is not None:
            raise error
        encoder.load_weights()
        if config.start_from is not None:
            load_into(decoder, read_tensors(config.start_from), where=str(config.start_from))
        self.decoder, self.encoder = decoder, encoder.requires_grad_(False)
        self.train()

    def train(self, mode: bool = True) -> DecoderTraining:
        """Switch to training mode; the encoder stays in evaluation mode."""
        super().train(mode)
        if hasattr(self, "encoder"):
            self.encoder.eval()
        return self

    def collator(self) -> TargetCollator:
        """Takes the decoder's media out of samples, with the media that edits start from if it reads them."""
        return TargetCollator(
            self.decoder.modality,
            Preprocess(self.decoder),
            Preprocess(self.encoder),
            roles=self.config.roles,
            limit=self.config.limit,
            edits=self.decoder.uses_reference,
        )

    def configure_optimizers(self) -> Any:
        """AdamW over the decoder."""
        config = self.config
        return make_optimizer(self.decoder.named_parameters(), config.optimizer, self.trainer, config.scheduler)

    def configure_gradient_clipping(
        self, optimizer: Any, gradient_clip_val: Any = None, gradient_clip_algorithm: Any = None
    ) -> None:
        """Clip the gradient norm to the trainer's value, or to the optimizer section's."""
        limit = gradient_clip_val or self.config.optimizer.gradient_clip
        clip_gradients(self, optimizer, limit, gradient_clip_algorithm or "norm")

    def _loss(self, batch: MediaTargets, seeds: list[int] | Tensor | None = None) -> Tensor:
        """Mean loss over the N targets of a batch."""
        assert batch.targets is not None
        assert batch.inputs is not None
        with torch.no_grad():
            features = self.encoder(batch.inputs, self.decoder.modality).float()[batch.target]
        condition = Condition(features)
        if self.decoder.uses_reference:
            has = batch.source >= 0
            blank = torch.zeros_like(batch.targets[:1])
            reference = torch.cat([batch.targets, blank])[batch.source]  # -1, no reference, is the last row
            condition = Condition(features, reference, has)
        losses: Tensor = self.decoder(condition, batch.targets[batch.target], seeds)
        return losses.mean()

    def training_step(self, batch: MediaTargets, batch_idx: int) -> Tensor | None:
        """The decoder's loss ``()`` on one batch."""
        if not batch.keys:
            return self.nothing_to_learn()
        loss = self._loss(batch, batch.seeds)
        self.log("train/loss", loss, prog_bar=True, batch_size=len(batch.target))
        return loss

    def validation_step(self, batch: MediaTargets, batch_idx: int) -> None:
        """The loss on held-out media, under chance that depends on the media only."""
        if batch.keys:
            loss = self._loss(batch, content_seeds(batch.keys[place] for place in batch.target.tolist()))
            self.log("val/loss", loss, prog_bar=True, batch_size=len(batch.target), sync_dist=True)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Leave the frozen encoder out."""
        state = checkpoint["state_dict"]
        checkpoint["state_dict"] = {k: v for k, v in state.items() if not k.startswith("encoder.")}

    def save_result(self, folder: Path) -> None:
        """Write the decoder's tensors for its ``weights`` option."""
        write_tensors(self.decoder.state_dict(), folder / "model.safetensors")
