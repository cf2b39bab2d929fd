"""Training a decoder's denoiser on features of a frozen encoder, and on the references of edits if it reads them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from anyloom.building import build_named
from anyloom.config.schema import FeatureStoreConfig
from anyloom.features.cache import FeatureCache, FeatureStore
from anyloom.features.store import open_store
from anyloom.interfaces.encoder import Encoder
from anyloom.network.spaces import space_error
from anyloom.sequence.media_targets import MediaTargets, TargetCollator
from anyloom.sequence.preprocess import Preprocess
from anyloom.training.chance import content_seeds
from anyloom.training.decoder_stages import DecoderStage

__all__ = ["DenoiserStage"]


class DenoiserStage(DecoderStage):
    """Trains a decoder's denoiser and its null on features of a frozen encoder, by the decoder's own loss.

    Logs ``train/loss`` and ``val/loss``. In the latter each medium has the same noise at every validation.
    """

    class Config(DecoderStage.Config):
        """Options.

        Args:
            encoder: The encoder component whose features are the conditions; kept frozen.
            cache: Compute features and latents once per media key and keep them in memory; or on disk, in a folder, or
                ``{folder, max_gb}``.
            fit: Let the decoder fit before the first step what it fits in closed form: statistics of features.
        """

        encoder: dict[str, Any]
        cache: bool | Path | FeatureStoreConfig = True
        fit: bool = True

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
        self.cache: FeatureStore | None = FeatureCache() if config.cache is True else None

    def train(self, mode: bool = True) -> DenoiserStage:
        """Switch to training mode; the encoder stays in evaluation mode."""
        super().train(mode)
        if hasattr(self, "encoder"):
            self.encoder.eval()
        return self

    def collator(self) -> TargetCollator:
        """Takes the decoder's media out of samples, for encoder and decoder, with their references if it uses them."""
        if self.cache is None and not isinstance(self.config.cache, bool):
            # not before: a checkpoint may have brought other weights
            modality, makes = self.decoder.modality, self.decoder.autoencoder
            tables = {"features": (self.encoder, self.encoder, modality), "targets": (self.decoder, makes, modality)}
            self.cache = open_store(self.config.cache, tables, str(self.trainer.precision))
        collator = super().collator()
        collator.encode, collator.cache = Preprocess(self.encoder), self.cache
        collator.edits = self.decoder.uses_reference
        return collator

    def kept_features(self) -> Counter[str]:
        """Those of the store on disk; what is kept in memory is not counted."""
        return Counter() if self.cache is None or isinstance(self.cache, FeatureCache) else self.cache.counts

    @torch.no_grad()
    def prepare(self, batch: MediaTargets) -> tuple[Tensor, Tensor, Tensor | None]:
        """Features ``(N, L, D)`` and latents ``(N, ...)`` of a batch's targets, and their references' latents.

        The latter are zeros where there is no reference, and None if the decoder uses none. What is new goes into the
        cache if there is one.
        """
        features, latents = self._of_media(batch)
        targets = features[batch.target], latents[batch.target]
        if not self.decoder.uses_reference:
            return *targets, None
        with_null = torch.cat([latents, torch.zeros_like(latents[:1])])  # -1, no reference, is the last row
        return *targets, with_null[batch.source]

    def _of_media(self, batch: MediaTargets) -> tuple[Tensor, Tensor]:
        """Features ``(U, L, D)`` and latents ``(U, ...)`` of a batch's media."""
        features, latents = None, None
        if batch.targets is not None and batch.inputs is not None:
            features = self.encoder(batch.inputs, self.decoder.modality).float()
            latents = self.decoder.latents(batch.targets)
            if self.cache is not None:
                # In the precision and the order in memory in which they are kept: convolutions sum in another order
                # where channels are last, and a run that goes on would differ from an unbroken one.
                latents = latents.half().float().contiguous()
                names = [batch.names[n] for n in batch.fresh.tolist()]
                self.cache.put("features", names, features)
                self.cache.put("targets", names, latents.half())
                self.cache.counts["encoded"] += len(names)
        if batch.features is None or batch.latents is None:
            assert features is not None
            assert latents is not None
            return features, latents
        if self.cache is not None:
            self.cache.counts["read"] += len(batch.known)
        known = batch.features.float(), batch.latents.float()
        if features is None or latents is None:
            order = batch.known.argsort()
            return known[0][order], known[1][order]
        # every medium is either fresh or known, so sorting by its number puts them in order
        order = torch.cat([batch.fresh, batch.known]).argsort()
        return torch.cat([features, known[0]])[order], torch.cat([latents, known[1]])[order]

    def on_train_start(self) -> None:
        """Fit what is fitted in closed form, unless training is resumed."""
        if self.config.fit and self.trainer.global_step == 0:
            pairs = [self.prepare(batch)[:2] for batch in self.sample_batches()]
            if pairs:
                features, latents = (torch.cat(side) for side in zip(*pairs))
                self.decoder.fit(features, latents)

    def training_step(self, batch: MediaTargets, batch_idx: int) -> Tensor | None:
        """Denoising error ``()`` of one batch."""
        if not batch.keys:
            return self.nothing_to_learn()
        features, latents, reference = self.prepare(batch)
        loss = self.decoder.latent_loss(features, latents, reference, batch.seeds).mean()
        self.log("train/loss", loss, prog_bar=True, batch_size=len(latents))
        return loss

    def validation_step(self, batch: MediaTargets, batch_idx: int) -> None:
        """Denoising error on held-out media, at noise and times that depend on the media only."""
        if batch.keys:
            features, latents, reference = self.prepare(batch)
            seeds = content_seeds(batch.keys[place] for place in batch.target.tolist())
            loss = self.decoder.latent_loss(features, latents, reference, seeds).mean()
            self.log("val/loss", loss, prog_bar=True, batch_size=len(latents), sync_dist=True)
