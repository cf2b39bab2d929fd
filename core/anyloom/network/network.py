"""The network: interleave, encode, embed, LLM, read, then losses (CoDi-2, section 3).

Shape legend: B rows, S positions, N places of media, T of them to be produced, K of these with decoder targets,
n positions of a medium that is produced, L features per medium, D feature dim, H hidden size.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Self

import torch
from torch import Tensor, nn

from anyloom.errors import ConfigError
from anyloom.features.cache import FeatureStore, Kept
from anyloom.interfaces.chance import row_chance
from anyloom.interfaces.decoder import Decoder
from anyloom.interfaces.encoder import Encoder
from anyloom.interfaces.feature_space import FeatureSpace
from anyloom.interfaces.llm import LLM, LLMInputs
from anyloom.interfaces.loss import Seen, SeenMedia
from anyloom.interfaces.representation import Before, Representation
from anyloom.network.assembly import assemble
from anyloom.network.config import ModalityConfig, ModelConfig
from anyloom.network.decoding_losses import decoder_losses
from anyloom.network.encoding import encode, with_latents
from anyloom.network.idle import Idle
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

    >>> Encoded(given=torch.zeros(1, 4, 8), wanted=None).given.shape
    torch.Size([1, 4, 8])
    """

    given: Tensor | None
    wanted: Tensor | None


@dataclass
class Placed:
    """Embeddings of media and where they stand in a batch, in pieces.

    Args:
        rows: Rows of each piece ``(M,)``.
        positions: Positions of each piece ``(M,)``.
        vectors: Embeddings of each piece ``(M, H)``; pieces that stand nowhere have no rows and positions.

    >>> placed = Placed()
    >>> placed.add(torch.tensor([0]), torch.tensor([5]), torch.ones(1, 2, 4))
    >>> rows, positions, vectors = placed.joined()
    >>> positions.tolist(), vectors.shape
    ([5, 6], torch.Size([2, 4]))
    """

    rows: list[Tensor] = field(default_factory=list)
    positions: list[Tensor] = field(default_factory=list)
    vectors: list[Tensor] = field(default_factory=list)

    def add_idle(self, embedded: Tensor) -> None:
        """Add embeddings ``(1, n, H)`` that stand nowhere.

        All pieces are joined before those are left out: so gradients come to every piece at one moment and in one
        order, whichever of them stand somewhere, and processes that gather parameters for them keep step.
        """
        nowhere = torch.empty(0, dtype=torch.long, device=embedded.device)
        self.rows.append(nowhere)
        self.positions.append(nowhere)
        self.vectors.append(embedded.flatten(0, 1))

    def joined(self) -> tuple[Tensor, Tensor, Tensor]:
        """Rows ``(M,)``, positions ``(M,)`` and embeddings ``(M, H)`` of what stands somewhere."""
        vectors = torch.cat([v.to(self.vectors[0].dtype) for v in self.vectors])
        kept = [len(r) == len(v) for r, v in zip(self.rows, self.vectors)]
        if not all(kept):
            counts = [len(v) for v in self.vectors]
            real = torch.cat([torch.full((n,), k, device=vectors.device) for n, k in zip(counts, kept)])
            vectors = vectors[real.nonzero()[:, 0]]
        return torch.cat(self.rows), torch.cat(self.positions), vectors

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

    keeps_latents: bool = False
    """Keep the latents of targets of L_DM in :attr:`cache` too, which must know of :meth:`latent_tables`."""

    def __init__(self, config: ModelConfig, *, load: bool = True, parts: Parts | None = None) -> None:
        super().__init__()
        self.config = config
        self.parts: Parts = parts or assemble(config)
        self.spaces: dict[str, Spaces] = {n: modality_spaces(config, self.parts, n) for n in config.modalities}
        self.tags = self._add_tags()
        self.cache: FeatureStore | None = None
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
        return next(self.llm.parameters()).device

    def encoder(self, modality: str) -> Encoder:
        """The encoder whose features of a modality are predicted.

        Raises:
            anyloom.errors.ConfigError: The model does not have the modality.
        """
        return self.parts.encoder(str(self._modality(modality).predicted))

    def decoder(self, modality: str) -> Decoder | None:
        """The decoder of a modality, or None."""
        key = self._modality(modality).decoder
        return None if key is None else self.parts.decoder(key)

    def _modality(self, name: str) -> ModalityConfig:
        if name not in self.config.modalities:
            known = ", ".join(self.config.modalities) or "none but text"
            fix = f"ask for those that it has ({known}), or train one that has it"
            raise ConfigError(f"the model has no modality {name!r}", where="model.modalities", fix=fix)
        return self.config.modalities[name]

    def representation(self, modality: str) -> Representation:
        """The representation of a modality."""
        return self.parts.representation(modality)

    def space(self, modality: str) -> FeatureSpace:
        """The space in which a modality is predicted."""
        return self.spaces[modality].predicted

    def train(self, mode: bool = True) -> Self:
        """Set training mode; frozen parts stay in evaluation mode."""
        super().train(mode)
        for part in self.parts.present():
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
            seed: Of what is drawn about samples that have no seed of their own; see :class:`Collator`.
        """
        steps: dict[str, ModalitySteps] = {}
        kept = {table[2] for table in self.latent_tables().values()} if self.keeps_latents else set[str]()
        for name, modality in self.config.modalities.items():
            decoder = self._decodes(name) if decoding else None
            other = modality.target_encoder not in (None, modality.encoder)
            steps[name] = ModalitySteps(
                given=self._encode_step(modality.encoder, name),
                wanted=self._encode_step(modality.target_encoder, name) if other else None,
                decode=None if decoder is None else Preprocess(decoder),
                edits=decoder is not None and decoder.uses_reference,
                latents="" if decoder is None or name not in kept else _latent_table(self.config, name),
            )
        limit = self.config.loss.diffusion_limit
        return Collator(self.interleaver(), steps, decode_limit=limit, cache=self.cache, seed=seed)

    def _encode_step(self, key: str | None, modality: str) -> EncodeStep | None:
        if key is None:
            return None
        encoder = self.parts.encoder(key)
        return EncodeStep(Preprocess(encoder), encoder.feature_space(modality), f"{key}/{modality}")

    def encoded_tables(self) -> dict[str, Kept]:
        """What a feature store on disk has to know of each table that batches of this model need."""
        tables: dict[str, Kept] = {}
        for name, modality in self.config.modalities.items():
            for key in {modality.encoder, modality.target_encoder} - {None}:
                encoder = self.parts.encoder(str(key))
                tables[f"{key}/{name}"] = encoder, encoder, name
        return tables

    def latent_tables(self) -> dict[str, Kept]:
        """The same for the latents of the targets of L_DM, where nothing that makes them is trained."""
        tables: dict[str, Kept] = {}
        for name in self.config.modalities:
            decoder = self._decodes(name)
            makes = None if decoder is None else decoder.latent_encoder()
            if decoder is not None and makes is not None and not any(p.requires_grad for p in makes.parameters()):
                tables[_latent_table(self.config, name)] = decoder, makes, name
        return tables

    def encode(self, modality: str, media: MediaBatch) -> Encoded:
        """Features of every place of a modality; new ones go into the feature store if there is one."""
        options = self.config.modalities[modality]
        given = wanted = None
        spaces = self.spaces[modality]
        if media.given is not None:
            assert spaces.given is not None  # the collator has an encoder's step for media that are given
            key = str(options.encoder)
            encoder = self.parts.encoder(key)
            given = encode(encoder, modality, media.given, spaces.given, self.cache, f"{key}/{modality}")
        if media.wanted is None:
            return Encoded(given, given)
        if media.wanted.names:
            key = str(options.target_encoder)
            encoder = self.parts.encoder(key)
            wanted = encode(encoder, modality, media.wanted, spaces.predicted, self.cache, f"{key}/{modality}")
        return Encoded(given, wanted)

    def before(self, modality: str, media: MediaBatch, encoded: Encoded, places: Tensor) -> Before | None:
        """What stands before some places ``(P,)``, for representations that look at it."""
        if not self.representation(modality).uses_before or encoded.given is None:
            return None
        previous = media.previous[places]
        exists = previous >= 0
        return Before(encoded.given[previous.clamp_min(0)] * exists[:, None, None], exists)

    def place(self, batch: Batch, encoded: Mapping[str, Encoded], idle: Idle | None = None) -> Placed:
        """Embeddings of all media of a batch.

        Args:
            batch: The batch.
            encoded: Features of its media.
            idle: Runs what the batch has no use for.
        """
        placed = Placed()
        for name in sorted(self.config.modalities):
            media, representation = batch.media.get(name), self.representation(name)
            if media is not None and len(media.read):
                features = encoded[name].given
                assert features is not None  # the interleaver refuses to read what no encoder encodes
                before = self.before(name, media, encoded[name], media.read)
                with row_chance(media.read_chance if self.training else None, 1):
                    embedded = representation.embed(features[media.read], before)
                placed.add(media.row[media.read], media.start[media.read], embedded)
            elif idle is not None and self.spaces[name].given is not None:
                placed.add_idle(idle.embed(name))
            if media is not None and len(media.made):
                before = self.before(name, media, encoded[name], media.made)
                with row_chance(media.made_chance if self.training else None, 2):
                    embedded = representation.embed_target(self.targets(name, media, encoded[name]), before)
                placed.add(media.row[media.made], media.start[media.made], embedded)
            elif idle is not None:
                placed.add_idle(idle.embed_target(name))
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
            inputs.rows, inputs.positions, inputs.vectors = placed.joined()
        return inputs

    def forward(self, batch: Batch) -> Losses:
        """All losses of a batch; modalities may be mixed at will within it.

        Modalities are gone through in one order, whether the batch has them or not: processes that share parameters
        meet at each component, and one that came in another order would wait for ever.
        """
        idle = Idle(self.config, self.parts, self.spaces, self.tags, self.device) if self.idle else None
        encoded: dict[str, Encoded] = {}
        for name in sorted(self.config.modalities):
            options, media = self.config.modalities[name], batch.media.get(name)
            if media is not None:
                encoded[name] = self.encode(name, media)
            if idle is not None:
                idle.encoders(name, options, media)
        output = self.llm(self.inputs(batch, self.place(batch, encoded, idle)))
        losses = Losses()
        losses.add("text", token_loss(output.logits, batch.labels), len(batch.labels), self.config.loss.text_weight)
        seen: dict[str, SeenMedia] = {}
        predicted: dict[str, Tensor] = {}
        for name in sorted(self.config.modalities):
            media = batch.media.get(name)
            if media is not None and len(media.made):
                self._predict(name, media, encoded[name], output.hidden, losses, seen)
                if media.decoder is not None:
                    predicted[name] = seen[name].predicted[media.decoder.place]
            elif idle is not None:
                idle.predict(name, output.hidden, reads=self._reads(name))
        latent = {name: self._with_latents(name, media) for name, media in batch.media.items()}
        decoded = decoder_losses(self.config, self.parts, latent, predicted, trained=self.training, idle=idle)
        for name, (total, count) in decoded.items():
            losses.add(f"diffusion/{name}", total, count, self.config.modalities[name].diffusion_weight)
        for key in self.config.losses:
            loss = self.parts.loss(key)
            total, count = loss(Seen(output.hidden, seen))
            losses.add(f"loss/{key}", total, float(count), float(loss.config.weight))
        losses.idle = None if idle is None else idle.total()
        return losses

    def _predict(
        self,
        name: str,
        media: MediaBatch,
        encoded: Encoded,
        hidden: Tensor,
        losses: Losses,
        seen: dict[str, SeenMedia],
    ) -> None:
        """The representation's loss of one modality, and its predictions where somebody else wants them."""
        states, targets = self.hidden_of(name, media, hidden), self.targets(name, media, encoded)
        representation, before = self.representation(name), self.before(name, media, encoded, media.made)
        if self.spaces[name].supervised:
            with row_chance(media.made_chance if self.training else None, 3):
                each = representation.loss(states, targets, before)
            losses.add(f"feature/{name}", each.sum(), len(each), self.config.modalities[name].feature_weight)
        if self._reads(name):
            with row_chance(media.made_chance if self.training else None, 4):
                predicted = representation.read(states, before)
            seen[name] = SeenMedia(targets, predicted, states, media.sample[media.made])

    def _with_latents(self, name: str, media: MediaBatch) -> MediaBatch:
        decoder = self.decoder(name)
        if decoder is None:
            return media
        table = _latent_table(self.config, name)
        return replace(media, decoder=with_latents(decoder, media.decoder, self.cache, table))

    def _reads(self, name: str) -> bool:
        """Whether predictions of a modality go anywhere but into the representation's own loss."""
        return bool(self.config.losses) or self._decodes(name) is not None

    def _decodes(self, name: str) -> Decoder | None:
        """The decoder whose loss L_DM a modality has, if any."""
        decoder = self.decoder(name)
        if decoder is None or not self.config.modalities[name].diffusion_weight:
            return None
        return decoder if decoder.differentiable and self.representation(name).differentiable else None

    def hidden_of(self, modality: str, media: MediaBatch, hidden: Tensor) -> Tensor:
        """Hidden states ``(T, n + 1, H)`` of media that are to be produced, from their begin tags on."""
        steps = torch.arange(self.tags[modality].made + 1, device=hidden.device)
        return hidden[media.row[media.made][:, None], media.start[media.made][:, None] - 1 + steps]


def _latent_table(config: ModelConfig, modality: str) -> str:
    return f"latents/{config.modalities[modality].decoder}/{modality}"
