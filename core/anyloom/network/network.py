"""The network: interleave, encode, embed, LLM, read, then losses (CoDi-2, section 3).

Shape legend: B rows, S positions, N places of media, T of them to be produced, K of these with decoder targets,
n positions of a medium that is produced, L features per medium, D feature dim, H hidden size.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

import torch
from torch import Tensor, nn

from anyloom.features.cache import FeatureCache
from anyloom.interfaces.component import NeuralComponent
from anyloom.interfaces.decoder import Condition, Decoder
from anyloom.interfaces.encoder import Encoder
from anyloom.interfaces.feature_space import FeatureSpace
from anyloom.interfaces.llm import LLM, LLMInputs
from anyloom.interfaces.loss import Seen, SeenMedia
from anyloom.interfaces.representation import Before, Representation
from anyloom.network.assembly import assemble
from anyloom.network.config import ModelConfig
from anyloom.network.decoding_losses import decoder_losses
from anyloom.network.encoding import encode
from anyloom.network.losses import Losses, token_loss
from anyloom.network.parts import Parts
from anyloom.network.spaces import Spaces, modality_spaces
from anyloom.sequence.batch import Batch, MediaBatch
from anyloom.sequence.collate import Collator, EncodeStep, ModalitySteps
from anyloom.sequence.interleave import Interleaver, Tags
from anyloom.sequence.preprocess import Preprocess

__all__ = ["Encoded", "Network", "Placed"]


@dataclass(frozen=True)
class Encoded:
    """Features of one modality's media in a batch.

    Args:
        given: Those that are read ``(N, L, D)``; None if the modality cannot be read.
        wanted: Those that are to be predicted ``(N, L, D)``; None if no encoder gives them.
    """

    given: Tensor | None
    wanted: Tensor | None


@dataclass
class Placed:
    """Embeddings of media and where they stand in a batch.

    Args:
        rows: Rows ``(M,)`` of each piece.
        positions: Positions ``(M,)``.
        vectors: Embeddings ``(M, H)``.
    """

    rows: list[Tensor] = field(default_factory=list)
    positions: list[Tensor] = field(default_factory=list)
    vectors: list[Tensor] = field(default_factory=list)

    def add(self, row: Tensor, start: Tensor, embedded: Tensor) -> None:
        """Add media at rows ``(N,)`` from positions ``(N,)`` on, with embeddings ``(N, n, H)``."""
        count = embedded.shape[1]
        self.rows.append(row[:, None].expand(-1, count).flatten())
        self.positions.append((start[:, None] + torch.arange(count, device=start.device)).flatten())
        self.vectors.append(embedded.flatten(0, 1))


class Network(nn.Module):
    """The trained network: parts by modality, one teacher-forced pass, all losses.

    Args:
        config: Validated ``model:`` section.
        load: Read the weight files that the components name.
        parts: What :func:`anyloom.network.assembly.assemble` made of this config; made here by default.
    """

    idle: bool = False
    """Run parts that other processes may use on an example, times zero, where this batch has no use for them. On for
    training on several processes, which wait for each other's gradients and shards."""

    def __init__(self, config: ModelConfig, *, load: bool = True, parts: Parts | None = None) -> None:
        super().__init__()
        self.config = config
        self.parts: Parts = parts or assemble(config)
        self.spaces: dict[str, Spaces] = {n: modality_spaces(config, self.parts, n) for n in config.modalities}
        self.tags = self._add_tags()
        self.cache: FeatureCache | None = None
        if load:
            self.parts.load_weights()
        self.parts.freeze()
        self.train()

    def _add_tags(self) -> dict[str, Tags]:
        # Tags are numbered by sorted name: the order of modalities in a file must not move their rows.
        names = sorted(self.config.modalities)
        ids = self.llm.add_tokens([tag for n in names for tag in (f"<{n}>", f"</{n}>")])
        tags: dict[str, Tags] = {}
        for i, name in enumerate(names):
            given, modality = self.spaces[name].given, self.config.modalities[name]
            read = 0 if given is None else given.tokens
            made = self.parts.representation(name).num_positions
            tags[name] = Tags(ids[2 * i], ids[2 * i + 1], read, made, modality.reference)
        return tags

    @property
    def llm(self) -> LLM:
        """The language model component."""
        return self.parts.llm

    @property
    def device(self) -> torch.device:
        """Device of the language model, and of everything else unless parts were moved by hand."""
        return next(self.parameters()).device

    def encoder(self, modality: str) -> Encoder:
        """The encoder whose features of a modality are predicted.

        Raises:
            KeyError: The modality has no encoder.
        """
        return self.parts.encoder(str(self.config.modalities[modality].predicted))

    def decoder(self, modality: str) -> Decoder | None:
        """The decoder of a modality, or None."""
        key = self.config.modalities[modality].decoder
        return None if key is None else self.parts.decoder(key)

    def representation(self, modality: str) -> Representation:
        """The representation of a modality."""
        return self.parts.representation(modality)

    def space(self, modality: str) -> FeatureSpace:
        """The space in which a modality is predicted."""
        return self.spaces[modality].predicted

    def train(self, mode: bool = True) -> Self:
        """Set training mode; frozen parts stay in evaluation mode."""
        super().train(mode)
        for part in self.parts.components():
            if part.fixed:
                part.component.eval()
        return self

    def interleaver(self) -> Interleaver:
        """The function from conversations to sequences for this model."""
        limits = [n for n in (self.config.max_length, self.llm.max_positions) if n is not None]
        return Interleaver(self.llm.tokenizer, self.tags, min(limits, default=None))

    def collator(self, *, decoding: bool = True, seed: int = 0) -> Collator:
        """The function from samples to batches for this model.

        Args:
            decoding: Also prepare targets for L_DM where its weight is not 0.
            seed: Of the run.
        """
        steps: dict[str, ModalitySteps] = {}
        for name, modality in self.config.modalities.items():
            decoder = self.decoder(name) if decoding and modality.diffusion_weight else None
            if decoder is not None and not (decoder.differentiable and self.representation(name).differentiable):
                decoder = None
            other = modality.target_encoder not in (None, modality.encoder)
            steps[name] = ModalitySteps(
                given=self._encode_step(modality.encoder, name),
                wanted=self._encode_step(modality.target_encoder, name) if other else None,
                decode=None if decoder is None else Preprocess(decoder),
                edits=decoder is not None and decoder.uses_reference,
            )
        limit = self.config.loss.diffusion_limit
        return Collator(self.interleaver(), steps, decode_limit=limit, cache=self.cache, seed=seed)

    def _encode_step(self, key: str | None, modality: str) -> EncodeStep | None:
        if key is None:
            return None
        encoder = self.parts.encoder(key)
        return EncodeStep(Preprocess(encoder), encoder.feature_space(modality), f"{key}/{modality}")

    def encode(self, modality: str, media: MediaBatch) -> Encoded:
        """Features of every place of a modality; new ones go into the cache if there is one."""
        options = self.config.modalities[modality]
        given = wanted = None
        if media.given is not None:
            key = str(options.encoder)
            given = encode(self.parts.encoder(key), modality, media.given, self.cache, f"{key}/{modality}")
        if media.wanted is not None:
            key = str(options.target_encoder)
            wanted = encode(self.parts.encoder(key), modality, media.wanted, self.cache, f"{key}/{modality}")
        return Encoded(given, given if media.wanted is None else wanted)

    def before(self, modality: str, media: MediaBatch, encoded: Encoded, places: Tensor) -> Before | None:
        """What stands before some places ``(P,)``, for representations that look at it."""
        if not self.representation(modality).uses_before or encoded.given is None:
            return None
        previous = media.previous[places]
        exists = previous >= 0
        return Before(encoded.given[previous.clamp_min(0)] * exists[:, None, None], exists)

    def place(self, batch: Batch, encoded: Mapping[str, Encoded]) -> Placed:
        """Embeddings of all media of a batch."""
        placed = Placed()
        for name, media in batch.media.items():
            representation, features = self.representation(name), encoded[name]
            if len(media.read):
                assert features.given is not None  # the interleaver refuses to read what no encoder encodes
                before = self.before(name, media, features, media.read)
                embedded = representation.embed(features.given[media.read], before)
                placed.add(media.row[media.read], media.start[media.read], embedded)
            if len(media.made):
                before = self.before(name, media, features, media.made)
                embedded = representation.embed_target(self.targets(name, media, features), before)
                placed.add(media.row[media.made], media.start[media.made], embedded)
        return placed

    def targets(self, modality: str, media: MediaBatch, encoded: Encoded) -> Tensor:
        """True features ``(T, L, D)`` of what is to be produced; zeros where no encoder gives them."""
        if encoded.wanted is not None:
            return encoded.wanted[media.made]
        space = self.space(modality)
        return torch.zeros(len(media.made), space.tokens, space.dim, device=media.made.device)

    def inputs(self, batch: Batch, placed: Placed) -> LLMInputs:
        """What the language model reads of a batch."""
        inputs = LLMInputs(batch.ids, batch.position_ids, batch.segments, logits_at=batch.label_at)
        if placed.vectors:
            inputs.rows, inputs.positions = torch.cat(placed.rows), torch.cat(placed.positions)
            inputs.vectors = torch.cat([vectors.to(placed.vectors[0].dtype) for vectors in placed.vectors])
        return inputs

    def forward(self, batch: Batch) -> Losses:
        """All losses of a batch; modalities may be mixed at will within it."""
        idle = _Idle(self) if self.idle else None
        encoded = {name: self.encode(name, media) for name, media in batch.media.items()}
        if idle is not None:
            idle.encoders(batch)
        output = self.llm(self.inputs(batch, self.place(batch, encoded)))
        losses = Losses()
        losses.add("text", token_loss(output.logits, batch.labels), len(batch.labels), self.config.loss.text_weight)
        seen: dict[str, SeenMedia] = {}
        predicted: dict[str, Tensor] = {}
        for name, media in batch.media.items():
            if not len(media.made):
                continue
            hidden = self.hidden_of(name, media, output.hidden)
            targets, before = (
                self.targets(name, media, encoded[name]),
                self.before(name, media, encoded[name], media.made),
            )
            if self.spaces[name].supervised:
                each = self.representation(name).loss(hidden, targets, before)
                losses.add(f"feature/{name}", each.sum(), len(each), self.config.modalities[name].feature_weight)
            if media.decoder is not None or self.config.losses:
                read = self.representation(name).read(hidden, before)
                if media.decoder is not None:
                    predicted[name] = read[media.decoder.place]
                seen[name] = SeenMedia(targets, read, hidden, media.sample[media.made])
        decoded = decoder_losses(self.config, self.parts, batch.media, predicted, seeded=not self.training)
        for name, each in decoded.items():
            losses.add(f"diffusion/{name}", each.sum(), len(each), self.config.modalities[name].diffusion_weight)
        for key, options in self.config.losses.items():
            total, count = self.parts.losses[key](Seen(output.hidden, seen))
            losses.add(f"loss/{key}", total, float(count), float(options.get("weight", 1.0)))
        if idle is not None:
            losses.idle = idle.rest(batch, output.hidden)
        return losses

    def hidden_of(self, modality: str, media: MediaBatch, hidden: Tensor) -> Tensor:
        """Hidden states ``(T, n + 1, H)`` of media that are to be produced, from their begin tags on."""
        steps = torch.arange(self.tags[modality].made + 1, device=hidden.device)
        return hidden[media.row[media.made][:, None], media.start[media.made][:, None] - 1 + steps]


class _Idle:
    """Runs what a batch has no use for, so that every process runs the same parts in the same order."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.zeros: list[Tensor] = []

    def add(self, result: Tensor) -> None:
        self.zeros.append(result.float().sum() * 0.0)

    def encoders(self, batch: Batch) -> None:
        """Encoders that no medium of the batch has been through."""
        for name in sorted(self.network.config.modalities):
            media, options = batch.media.get(name), self.network.config.modalities[name]
            for side, key in (("given", options.encoder), ("wanted", options.target_encoder)):
                inputs = None if media is None else getattr(media, side)
                if key is None or (side == "wanted" and key == options.encoder):
                    continue
                encoder = self.network.parts.encoder(key)
                if (inputs is None or inputs.inputs is None) and _is_shared(encoder):
                    with torch.set_grad_enabled(not encoder.frozen):
                        self.add(encoder(encoder.example(name).to(self.network.device), name))

    def rest(self, batch: Batch, hidden: Tensor) -> Tensor:
        """Representations, decoders, couplers and losses; the sum of all zeros ``()``."""
        network = self.network
        for name in sorted(network.config.modalities):
            media, spaces = batch.media.get(name), network.spaces[name]
            representation = network.representation(name)
            states = hidden[:1, :1].expand(1, network.tags[name].made + 1, -1)
            blank = hidden.new_zeros(1, spaces.predicted.tokens, spaces.predicted.dim)
            before = Before(blank, torch.zeros(1, dtype=torch.bool, device=hidden.device))
            before = before if representation.uses_before else None  # type: ignore[assignment]
            if spaces.given is not None and (media is None or not len(media.read)):
                self.add(representation.embed(hidden.new_zeros(1, spaces.given.tokens, spaces.given.dim), before))
            if media is None or not len(media.made):
                self.add(representation.embed_target(blank, before))
                self.add(representation.loss(states, blank, before))
            decoder = network.decoder(name)
            if decoder is not None and (media is None or media.decoder is None) and _is_shared(decoder):
                features = representation.read(states, before)
                self.add(decoder(Condition(features), decoder.example().to(network.device)))
        for part in network.parts.components():
            if part.kind in ("coupler", "loss"):  # never sharded, so a touch of each parameter is enough
                self.zeros += [p.flatten()[:0].sum().float() for p in part.component.parameters() if p.requires_grad]
        return torch.stack(self.zeros).sum() if self.zeros else hidden.new_zeros(())


def _is_shared(component: NeuralComponent) -> bool:
    """Whether other processes wait for this one to run a component: for gradients, or for shards of its parameters."""
    return any(p.requires_grad or hasattr(p, "device_mesh") for p in component.parameters())
