"""The stage that trains a VQ autoencoder on the pictures of any data set (VQGAN without its critic)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import NonNegativeFloat
from torch import Tensor
from torch.nn import functional as F

from anyloom.config.schema import OptimizerConfig, SchedulerConfig
from anyloom.interfaces import ComponentConfig, TrainingModule
from anyloom.sequence.media_targets import MediaTargets, TargetCollator
from anyloom.sequence.preprocess import Preprocess
from anyloom.training.optimizer import clip_gradients, make_optimizer
from anyloom_codes.vq import VQDecoder

__all__ = ["VQTraining"]


class VQTraining(TrainingModule):
    """Trains encoder, codebook and decoder on reconstruction; logs ``train/loss``, ``val/loss`` and their terms.

    The codebook's own loss is that of VQ-VAE (arXiv 1711.00937, equation 3), as diffusers computes it.

    >>> from anyloom_codes.tiny import SIZES
    >>> stage = VQTraining(VQTraining.Config(decoder={"sizes": SIZES}), model={})
    >>> stage.decoder.feature_space().codes
    16
    """

    class Config(ComponentConfig):
        """Options.

        Args:
            decoder: Options of the decoder ``vq``; its ``weights`` say where it is read in use, and are not read here.
            optimizer: Learning rate and its schedule.
            scheduler: A schedule by its class, in place of warm-up and cosine.
            codebook_weight: Weight of the codebook's loss.
        """

        decoder: dict[str, Any]
        optimizer: OptimizerConfig = OptimizerConfig()
        scheduler: SchedulerConfig | None = None
        codebook_weight: NonNegativeFloat = 1.0

    config: Config

    def __init__(self, config: Config, model: dict[str, Any]) -> None:
        super().__init__(config, model)
        options = {k: v for k, v in config.decoder.items() if k not in ("name", "weights", "freeze")}
        self.decoder = VQDecoder.from_options({**options, "freeze": False})

    def collator(self) -> TargetCollator:
        """Takes pictures out of samples."""
        return TargetCollator("image", Preprocess(self.decoder))

    def configure_optimizers(self) -> Any:
        """AdamW over the whole autoencoder."""
        config = self.config
        return make_optimizer(self.decoder.named_parameters(), config.optimizer, self.trainer, config.scheduler)

    def configure_gradient_clipping(
        self, optimizer: Any, gradient_clip_val: Any = None, gradient_clip_algorithm: Any = None
    ) -> None:
        """Clip the gradient norm to the trainer's value, or to the optimizer section's."""
        limit = gradient_clip_val or self.config.optimizer.gradient_clip
        clip_gradients(self, optimizer, limit, gradient_clip_algorithm or "norm")

    def _loss(self, batch: MediaTargets, stage: str) -> Tensor | None:
        if batch.targets is None:
            return None
        vq = self.decoder.vq
        latents = vq.quant_conv(vq.encoder(batch.targets))
        quantised, codebook, _ = vq.quantize(latents)
        made = vq.decoder(vq.post_quant_conv(quantised))
        picture = F.l1_loss(made, batch.targets) + F.mse_loss(made, batch.targets)
        loss: Tensor = picture + self.config.codebook_weight * codebook
        count = len(batch.targets)
        for name, value in (("loss", loss), ("picture", picture), ("codebook", codebook)):
            self.log(f"{stage}/{name}", value, batch_size=count, prog_bar=name == "loss", sync_dist=stage == "val")
        return loss

    def training_step(self, batch: MediaTargets, batch_idx: int) -> Tensor | None:
        """Loss ``()`` of one batch."""
        loss = self._loss(batch, "train")
        return self.nothing_to_learn() if loss is None else loss

    def validation_step(self, batch: MediaTargets, batch_idx: int) -> None:
        """Loss on held-out pictures."""
        self._loss(batch, "val")

    def save_result(self, folder: Path) -> None:
        """Write the autoencoder for the ``weights`` of encoder and decoder."""
        self.decoder.save(folder)
