"""Stages that train a latent diffusion decoder from scratch: first its autoencoder, then its denoiser.

Both take their media out of any data set's conversations and write a folder that the decoder's ``weights`` reads.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import Field, PositiveInt
from torch import Tensor

from anyloom.building import build_named
from anyloom.config.schema import OptimizerConfig
from anyloom.data.feature_cache import FeatureCache
from anyloom.data.loader import ResumableLoader
from anyloom.data.media_targets import MediaTargets, TargetCollator
from anyloom.data.preprocess import Preprocess
from anyloom.diffusion.latent_decoder import LatentDiffusionDecoder, Part
from anyloom.errors import ConfigError
from anyloom.interfaces.component import ComponentConfig
from anyloom.interfaces.encoder import Encoder
from anyloom.interfaces.module import TrainingModule
from anyloom.model.assembly import space_error
from anyloom.training.averaging import AveragedWeights
from anyloom.training.optimizer import clip_gradients, make_optimizer

__all__ = ["AutoencoderStage", "DecoderStage", "DenoiserStage"]


class DecoderStage(TrainingModule):
    """What both stages share: the decoder, its data, the optimizer and the averaged weights."""

    class Config(ComponentConfig):
        """Options.

        Args:
            decoder: The decoder component. Its ``weights`` say where it is read in use, and are not read here.
            start_from: Folder to start from, in place of random weights.
            optimizer: Learning rate and its schedule.
            average: Decay of an exponential moving average of the trained weights, which is what is validated
                and saved; 0 turns it off.
            channels_last: Keep the trained part's weights in channels-last order, faster for convolutions.
            roles: Train on media of ``all`` messages, or of the ``assistant`` only.
            limit: At most so many media per batch.
            statistics: Batches from which statistics (of latents, of features) are taken.
        """

        decoder: dict[str, Any]
        start_from: str | None = None
        optimizer: OptimizerConfig = OptimizerConfig()
        average: float = Field(default=0.0, ge=0, lt=1)
        channels_last: bool = False
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
                fix="name a latent diffusion decoder",
            )
        decoder.load_weights()
        decoder.learn(self.part)
        if config.channels_last:
            decoder.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.decoder = decoder
        self.average = AveragedWeights(decoder.named_parameters(), config.average) if config.average else None

    def collator(self) -> TargetCollator:
        """Takes the decoder's media out of samples."""
        return TargetCollator(
            self.decoder.modality, Preprocess(self.decoder), roles=self.config.roles, limit=self.config.limit
        )

    def configure_optimizers(self) -> Any:
        """AdamW over the trained part."""
        return make_optimizer(self.decoder.named_parameters(), self.config.optimizer, self.trainer)

    def configure_gradient_clipping(
        self, optimizer: Any, gradient_clip_val: Any = None, gradient_clip_algorithm: Any = None
    ) -> None:
        """Clip the gradient norm to the trainer's value, or to the optimizer section's."""
        limit = gradient_clip_val or self.config.optimizer.gradient_clip
        clip_gradients(self, optimizer, limit, gradient_clip_algorithm or "norm")

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Take the new weights into the average."""
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
        """Leave a frozen encoder out, keep the average."""
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
        loader: Any = copy.copy(self.trainer.train_dataloader)
        if isinstance(loader, ResumableLoader):
            loader.load_state_dict({"epoch": 0, "done": 0})
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
        """Reconstruction error of one batch."""
        loss = self._step(batch, "train")
        return self.nothing_to_learn() if loss is None else loss

    def validation_step(self, batch: MediaTargets, batch_idx: int) -> None:
        """Reconstruction error on held-out media."""
        self._step(batch, "val")

    def on_train_start(self) -> None:
        """Fit the linear path, where there is one, unless training is resumed."""
        if self.trainer.global_step == 0 and self.decoder.config.autoencoder.linear:
            targets = [b.targets for b in self.sample_batches() if b.targets is not None]
            self.decoder.autoencoder.fit_linear(torch.cat(targets))

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


class DenoiserStage(DecoderStage):
    """Trains a decoder's denoiser and its null on features of a frozen encoder, by the decoder's own loss.

    Logs ``train/loss`` and ``val/loss``. The latter uses the same noise and steps at every validation.
    """

    class Config(DecoderStage.Config):
        """Options.

        Args:
            encoder: The encoder component whose features are the conditions; kept frozen.
            cache: Compute features and latents once per media key and keep them in memory.
            fit_features: Take feature statistics for the decoder before the first step.
        """

        encoder: dict[str, Any]
        cache: bool = True
        fit_features: bool = True

    config: Config
    part = "denoiser"

    def __init__(self, config: Config, model: dict[str, Any]) -> None:
        super().__init__(config, model)
        encoder: Encoder = build_named("encoder", config.encoder, where="module.encoder")
        error = space_error(encoder, self.decoder, where="module.decoder")
        if error is not None:
            raise error
        encoder.load_weights()
        self.encoder = encoder.requires_grad_(False)
        self.cache = FeatureCache() if config.cache else None

    def train(self, mode: bool = True) -> DenoiserStage:
        """Switch to training mode; the encoder stays in evaluation mode."""
        super().train(mode)
        if hasattr(self, "encoder"):
            self.encoder.eval()
        return self

    def collator(self) -> TargetCollator:
        """Takes the decoder's media out of samples, for encoder and decoder."""
        collator = super().collator()
        collator.encode, collator.cache = Preprocess(self.encoder), self.cache
        return collator

    @torch.no_grad()
    def prepare(self, batch: MediaTargets) -> tuple[Tensor, Tensor]:
        """Features ``(N, L, D)`` and latents ``(N, ...)`` of a batch; new ones go into the cache if there is one."""
        features, latents = None, None
        if batch.targets is not None and batch.inputs is not None:
            features = self.encoder(batch.inputs, self.decoder.modality).float()
            latents = self.decoder.latents(batch.targets)
        if self.cache is None:
            assert features is not None
            assert latents is not None
            return features, latents
        return self._through_cache(self.cache, batch, features, latents)

    def _through_cache(
        self, cache: FeatureCache, batch: MediaTargets, features: Tensor | None, latents: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        fresh = batch.fresh.tolist()
        known = [n for n, key in enumerate(batch.keys) if n not in set(fresh)]
        both: list[Tensor] = []
        for table, new in (("features", features), ("targets", None if latents is None else latents.half())):
            rows: list[Any] = [None] * len(batch.keys)
            if known:
                for n, row in zip(known, cache.get(table, [batch.keys[n] for n in known])):
                    rows[n] = row.to(self.device)
            if new is not None:
                cache.put(table, [batch.keys[n] for n in fresh], new)
                for n, row in zip(fresh, new):
                    rows[n] = row
            both.append(torch.stack(rows).float())
        return both[0], both[1]

    def on_train_start(self) -> None:
        """Take feature statistics and fit the drawing, unless training is resumed."""
        if self.config.fit_features and self.trainer.global_step == 0:
            pairs = [self.prepare(batch) for batch in self.sample_batches()]
            if pairs:
                features, latents = (torch.cat(side) for side in zip(*pairs))
                self.decoder.fit_features(features)
                self.decoder.fit_sketch(features, latents)

    def training_step(self, batch: MediaTargets, batch_idx: int) -> Tensor | None:
        """Denoising error of one batch."""
        if not batch.keys:
            return self.nothing_to_learn()
        loss = self.decoder.latent_loss(*self.prepare(batch)).mean()
        self.log("train/loss", loss, prog_bar=True, batch_size=len(batch.keys))
        return loss

    def validation_step(self, batch: MediaTargets, batch_idx: int) -> None:
        """Denoising error on held-out media, at noise and steps that depend on the batch's number only."""
        if batch.keys:
            generator = torch.Generator().manual_seed(batch_idx)
            loss = self.decoder.latent_loss(*self.prepare(batch), generator=generator).mean()
            self.log("val/loss", loss, prog_bar=True, batch_size=len(batch.keys), sync_dist=True)
