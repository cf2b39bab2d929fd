"""The network: interleave, encode, project, LLM, project, then losses (CoDi-2, section 3).

Shape legend: B samples, S positions, N places of media, L feature steps, D feature dim, H hidden dim.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

import torch
from torch import Tensor, nn

from anyloom.features.cache import FeatureCache
from anyloom.interfaces.decoder import Decoder
from anyloom.interfaces.encoder import Encoder
from anyloom.interfaces.feature_space import FeatureSpace
from anyloom.interfaces.llm import LLM, LLMOutput
from anyloom.network.assembly import Parts, assemble, feature_spaces
from anyloom.network.config import ModelConfig
from anyloom.network.joint_output import diffusion_losses
from anyloom.network.losses import Losses, feature_loss, token_loss
from anyloom.sequence.batch import Batch, Collator, MediaBatch
from anyloom.sequence.interleave import Interleaver, Tags
from anyloom.sequence.preprocess import Preprocess

__all__ = ["Network", "sources"]


def per_place(distinct: Tensor, media: MediaBatch) -> Tensor:
    """Rows of the U distinct media at each of the N places."""
    return distinct[media.slot]


def sources(media: MediaBatch, features: Tensor) -> Tensor:
    """Features ``(N, L, D)`` of the place before each place in its sample, zeros for the first."""
    before = features.roll(1, 0)
    first = media.row != media.row.roll(1, 0)
    first[:1] = True
    return before.masked_fill(first[:, None, None], 0.0)


class Network(nn.Module):
    """The trained network: parts by modality, one teacher-forced pass, all losses.

    Args:
        config: Validated ``model:`` section.
        load: Read the weight files that the components name.
        parts: What :func:`anyloom.network.assembly.assemble` made of this config; made here by default.
    """

    def __init__(self, config: ModelConfig, *, load: bool = True, parts: Parts | None = None) -> None:
        super().__init__()
        self.config = config
        self.parts: Parts = parts or assemble(config)
        self.spaces: dict[str, FeatureSpace] = feature_spaces(config, self.parts)
        self.tags = self._add_tags()
        self.cache: FeatureCache | None = None
        if load:
            for part in self.parts.components().values():
                getattr(part, "load_weights", lambda: None)()
        self.freeze()
        self.train()

    def _add_tags(self) -> dict[str, Tags]:
        names = sorted(self.config.modalities)
        ids = self.llm.add_tokens([tag for n in names for tag in (f"<{n}>", f"</{n}>")])
        return {n: Tags(ids[2 * i], ids[2 * i + 1], self.spaces[n].tokens) for i, n in enumerate(names)}

    @property
    def llm(self) -> LLM:
        """The language model component."""
        return self.parts.llm

    @property
    def device(self) -> torch.device:
        """Device of the projectors, and of everything else unless parts were moved by hand."""
        return next(self.parameters()).device

    def encoder(self, modality: str) -> Encoder:
        """The encoder of a modality."""
        return self.parts.encoder(self.config.modalities[modality].encoder)

    def decoder(self, modality: str) -> Decoder | None:
        """The decoder of a modality, or None."""
        key = self.config.modalities[modality].decoder
        return None if key is None else self.parts.decoder(key)

    def freeze(self) -> None:
        """Switch off gradients of parts whose config says ``freeze`` (the LLM does that for itself)."""
        for part in (*self.parts.encoders.values(), *self.parts.decoders.values()):
            if getattr(part, "frozen", False):
                part.requires_grad_(False)

    def train(self, mode: bool = True) -> Self:
        """Set training mode; frozen parts stay in eval mode."""
        super().train(mode)
        for part in (*self.parts.encoders.values(), *self.parts.decoders.values()):
            if getattr(part, "frozen", False):
                part.eval()
        return self

    def interleaver(self) -> Interleaver:
        """The function from conversations to sequences for this model."""
        return Interleaver(self.llm.tokenizer, self.tags, self.config.max_length)

    def collator(self, *, diffusion: bool = True) -> Collator:
        """The function from samples to batches for this model.

        Args:
            diffusion: Also prepare targets for L_DM where its weight is not 0.
        """
        encode = {m: Preprocess(self.encoder(m)) for m in self.config.modalities}
        decode: dict[str, Preprocess] = {}
        for name, modality in self.config.modalities.items():
            decoder = self.decoder(name)
            if diffusion and decoder is not None and modality.diffusion_weight:
                decode[name] = Preprocess(decoder)
        edits = [m for m in decode if (decoder := self.decoder(m)) is not None and decoder.uses_source]
        limit = self.config.loss.diffusion_limit
        return Collator(self.interleaver(), encode, decode, decode_limit=limit, edits=edits, cache=self.cache)

    def encode(self, modality: str, media: MediaBatch) -> Tensor:
        """Features ``(N, L, D)`` of every place of a modality; new ones go into the cache if there is one."""
        fresh = None
        if media.inputs is not None:
            encoder = self.encoder(modality)
            with torch.set_grad_enabled(torch.is_grad_enabled() and not encoder.frozen):
                fresh = encoder(media.inputs, modality)
        if self.cache is None:
            assert fresh is not None
            return per_place(fresh, media)
        if fresh is not None:
            self.cache.put(modality, [media.keys[u] for u in media.fresh.tolist()], fresh)
        if len(media.fresh) == len(media.keys) and fresh is not None:
            return per_place(fresh, media)
        known = [u for u, key in enumerate(media.keys) if self.cache.has(modality, key)]
        cached = self.cache.get(modality, [media.keys[u] for u in known])
        features = cached.new_empty((len(media.keys), *cached.shape[1:]))
        if fresh is not None:
            features[media.fresh] = fresh.detach()
        features[torch.tensor(known, device=features.device)] = cached
        return per_place(features, media)

    def project_in(self, modality: str, features: Tensor, source: Tensor) -> Tensor:
        """Embeddings ``(..., H)`` of features ``(..., D)`` that follow the features ``source``."""
        projector = self.parts.input_projectors[modality]
        projected: Tensor = projector(features, source) if projector.uses_source else projector(features)
        return projected

    def project_out(self, modality: str, hidden: Tensor, source: Tensor) -> Tensor:
        """Predicted features ``(..., D)`` from hidden states ``(..., H)``, after the features ``source``.

        With parallel feature steps one hidden state gives all of them: ``(N, H)`` and ``(N, L, D)`` in,
        ``(N, L, D)`` out.
        """
        projector, space = self.parts.output_projectors[modality], self.spaces[modality]
        parallel = self.config.feature_steps == "parallel"
        source = source.flatten(-2) if parallel else source
        hidden = hidden.to(next(projector.parameters(), hidden).dtype)
        predicted: Tensor = projector(hidden, source) if projector.uses_source else projector(hidden)
        return predicted.reshape(*predicted.shape[:-1], space.tokens, space.dim) if parallel else predicted

    def embed(self, batch: Batch, features: Mapping[str, Tensor]) -> Tensor:
        """Embeddings ``(B, S, H)`` of a batch with projected features at their feature steps."""
        x = self.llm.embed(batch.ids)
        for name, media in batch.media.items():
            given = features[name]
            projected = self.project_in(name, given, sources(media, given)).to(x.dtype)
            rows = media.row[:, None].expand(projected.shape[:2])
            steps = media.start[:, None] + torch.arange(projected.shape[1], device=x.device)
            x = x.index_put((rows, steps), projected)
        return x

    def run_llm(self, batch: Batch, features: Mapping[str, Tensor]) -> LLMOutput:
        """One teacher-forced pass over a batch."""
        positions = (batch.attention_mask.cumsum(1) - 1).clamp_min(0)
        output: LLMOutput = self.llm(self.embed(batch, features), batch.attention_mask, positions)
        return output

    def predict_features(self, modality: str, hidden: Tensor, media: MediaBatch, features: Tensor) -> Tensor:
        """c_MLLM ``(N, L, D)`` at every place: what the model predicts there from what comes before.

        Autoregressive: step l is read one position before it. Parallel: all steps are read at the begin tag.
        """
        source = sources(media, features)
        if self.config.feature_steps == "parallel":
            return self.project_out(modality, hidden[media.row, media.start - 1], source)
        steps = media.start[:, None] - 1 + torch.arange(self.spaces[modality].tokens, device=hidden.device)
        return self.project_out(modality, hidden[media.row[:, None], steps], source)

    def forward(self, batch: Batch) -> Losses:
        """All losses of a batch; modalities may be mixed at will within it."""
        features = {name: self.encode(name, media) for name, media in batch.media.items()}
        noise = self.config.loss.feature_noise if self.training else 0.0
        given = {n: f + noise * torch.randn_like(f) if noise else f for n, f in features.items()}
        hidden = self.run_llm(batch, given).hidden
        losses = Losses(hidden.new_zeros((), dtype=torch.float32))
        labels = batch.labels[:, 1:]
        at = labels.ne(-100)
        losses.add("text", token_loss(self.llm.logits(hidden[:, :-1][at]), labels[at]), self.config.loss.text_weight)
        predicted = {n: self.predict_features(n, hidden, media, given[n]) for n, media in batch.media.items()}
        for name, media in batch.media.items():
            self._feature_loss(losses, name, media, predicted[name], features[name])
        for name, each in diffusion_losses(self, batch.media, predicted).items():
            losses.add(f"diffusion/{name}", each.mean(), self.config.modalities[name].diffusion_weight)
        return losses

    def _feature_loss(self, losses: Losses, name: str, media: MediaBatch, predicted: Tensor, features: Tensor) -> None:
        weight = torch.where(media.target, 1.0, self.config.loss.context_weight).to(predicted.device)
        if not bool(weight.any()):
            return
        if self.config.loss.relative_to_change:
            change = (features - sources(media, features)).float().square().mean((1, 2))
            weight = weight / (change + self.config.loss.relative_to_change)
        term = feature_loss(predicted, features, weight, self.config.loss.feature)
        losses.add(f"feature/{name}", term, self.config.modalities[name].feature_weight)
