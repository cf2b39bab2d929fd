"""Training a latent diffusion decoder from scratch: what its stages share, and the first, its autoencoder.

The second is :mod:`anyloom.training.denoiser_stage`. Both take their media out of any data set's conversations and
write a folder that the decoder's ``weights`` reads.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import Field, PositiveInt
from torch import Tensor

from anyloom.building import build_named
from anyloom.config.schema import OptimizerConfig, SchedulerConfig
from anyloom.data.loader import ResumableLoader
from anyloom.diffusion.latent_decoder import LatentDiffusionDecoder, Part
from anyloom.errors import ConfigError
from anyloom.interfaces.component import ComponentConfig
from anyloom.interfaces.module import TrainingModule
from anyloom.sequence.media_targets import MediaTargets, TargetCollator
from anyloom.sequence.preprocess import Preprocess
from anyloom.training.averaging import AveragedWeights
from anyloom.training.optimizer import clip_gradients, make_optimizer

__all__ = ["AutoencoderStage", "DecoderStage"]


class DecoderStage(TrainingModule):
    """What both stages share: the decoder, its data, the optimizer and the averaged weights."""

    class Config(ComponentConfig):
        """Options.

        Args:
            decoder: The decoder component. Its ``weights`` say where it is read in use, and are not read here.
            start_from: Folder to start from, in place of random weights.
            optimizer: Learning rate and its schedule.
            scheduler: A schedule by its class, in place of warm-up and cosine.
            average: Decay of an exponential moving average of the trained weights, which is what is validated
                and saved; 0 turns it off.
            roles: Train on media of ``all`` messages, or of the ``assistant`` only.
            limit: At most so many media per batch.
            statistics: Batches from which statistics (of latents, of features) are taken.
        """

        decoder: dict[str, Any]
        start_from: str | None = None
        optimizer: OptimizerConfig = OptimizerConfig()
        scheduler: SchedulerConfig | None = None
        average: float = Field(default=0.0, ge=0, lt=1)
        roles: Literal["all", "assistant"] = "all"
        limit: PositiveInt | None = None
        statistics: PositiveInt = 8

    config: Config
    part: Part

    def __init__(self, config: Config, model: dict[str, Any]) -> None:
        super().__init__(config, model)
        self.strict_loading = False
        options = {**config.decoder, "weights": config.start_from, "freeze": False}
        decoder = build_named("decoder", options, where="module.decoder")
        if not isinstance(decoder, LatentDiffusionDecoder):
            raise ConfigError(
                f"{type(decoder).__name__} cannot be trained by this stage",
                where="module.decoder",
                fix="name a latent diffusion decoder, or train this one by the stage 'decoder'",
            )
        decoder.load_weights()
        decoder.train_only(self.part)
        self.decoder = decoder
        self.average = AveragedWeights(decoder.named_parameters(), config.average) if config.average else None

    def collator(self) -> TargetCollator:
        """Takes the decoder's media out of samples."""
        return TargetCollator(
            self.decoder.modality, Preprocess(self.decoder), roles=self.config.roles, limit=self.config.limit
        )

    def configure_optimizers(self) -> Any:
        """AdamW over the trained part."""
        config = self.config
        return make_optimizer(self.decoder.named_parameters(), config.optimizer, self.trainer, config.scheduler)

    def configure_gradient_clipping(
        self, optimizer: Any, gradient_clip_val: Any = None, gradient_clip_algorithm: Any = None
    ) -> None:
        """Clip the gradient norm to the trainer's value, or to the optimizer section's."""
        limit = gradient_clip_val or self.config.optimizer.gradient_clip
        clip_gradients(self, optimizer, limit, gradient_clip_algorithm or "norm")

    def optimizer_step(self, *arguments: Any, **named: Any) -> None:
        """Take the new weights into the average before any callback saves a checkpoint."""
        super().optimizer_step(*arguments, **named)
        if self.average is not None:
            self.average.update()

    def on_validation_epoch_start(self) -> None:
        """Validate the averaged weights."""
        if self.average is not None:
            self.average.swap()

    def on_validation_epoch_end(self) -> None:
        """Go on with the live weights, before a callback saves them as a checkpoint."""
        if self.average is not None:
            self.average.swap()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Leave a frozen encoder out, keep the average; in the midst of a validation, the live weights."""
        if self.average is not None and self.trainer.validating:
            self.average.swap()  # the tensors of the state dict are the parameters' own, and follow
        state = checkpoint["state_dict"]
        checkpoint["state_dict"] = {k: v for k, v in state.items() if not k.startswith("encoder.")}
        if self.average is not None:
            checkpoint["average"] = self.average.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore the average."""
        if self.average is not None and "average" in checkpoint:
            self.average.load_state_dict(checkpoint["average"])

    def save_result(self, folder: Path) -> None:
        """Write the decoder, averaged weights where there are any, as a folder for its ``weights`` option."""
        if self.average is None:
            self.decoder.save(folder)
            return
        with self.average.applied():
            self.decoder.save(folder)

    def sample_batches(self) -> Iterator[MediaTargets]:
        """A few training batches on the module's device, without moving the loader on."""
        loader: Any = self.trainer.train_dataloader
        if isinstance(loader, ResumableLoader):
            loader = loader.from_start()
        for batch in itertools.islice(iter(loader), self.config.statistics):
            if batch.keys:
                yield self.transfer_batch_to_device(batch, self.device, 0)


class AutoencoderStage(DecoderStage):
    """Trains a decoder's autoencoder on reconstruction; at the end takes the latents' statistics.

    Logs the decoder's ``autoencoder_loss`` terms as ``train/<term>`` and ``val/<term>``.
    """

    part = "autoencoder"

    def _step(self, batch: MediaTargets, stage: str) -> Tensor | None:
        if batch.targets is None:
            return None
        terms = self.decoder.autoencoder_loss(batch.targets)
        for name, term in terms.items():
            shown = stage == "train" and name == "loss"
            self.log(f"{stage}/{name}", term, prog_bar=shown, batch_size=len(batch.targets), sync_dist=stage == "val")
        return terms["loss"]

    def training_step(self, batch: MediaTargets, batch_idx: int) -> Tensor | None:
        """Reconstruction error ``()`` of one batch."""
        loss = self._step(batch, "train")
        return self.nothing_to_learn() if loss is None else loss

    def validation_step(self, batch: MediaTargets, batch_idx: int) -> None:
        """Reconstruction error on held-out media."""
        self._step(batch, "val")

    def on_train_end(self) -> None:
        """Standardise the latents, so that the denoiser sees unit variance."""
        targets = [b.targets for b in self.sample_batches() if b.targets is not None]
        if not targets:
            return
        if self.average is not None:
            self.average.swap()
        self.decoder.autoencoder.fit_latents(torch.cat(targets))
        if self.average is not None:
            self.average.swap()
