"""Free-running generation: text is sampled, media come as forced runs of feature steps, then decoders make them.

Once a begin tag is out, exactly n feature steps follow, each feeding its own predicted feature back through the input
projector, then the end tag, then text again. Rows of a batch are independent: same answers one by one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor

from anyloom.conversation.segments import Conversation, Media, Message, Segment, Text
from anyloom.errors import ConversationError
from anyloom.generation.decoding import Predicted, decode_answers
from anyloom.sequence.batch import Batch

if TYPE_CHECKING:
    from anyloom.network.network import Network

__all__ = ["GenerationOptions", "generate"]


class GenerationOptions(BaseModel):
    """How to answer.

    Args:
        media: By modality: ``force`` (the answer begins with one, in the order given), ``allow`` (the default:
            when the model begins one) or ``forbid``.
        max_new_tokens: Text tokens per answer, at most.
        max_media: Media per answer, at most.
        temperature: Of text sampling; 0 takes the likeliest token.
        top_p: Nucleus of text sampling.
        decode: Make media from predicted features. If False, media carry features only.
        steps: Denoising steps; None takes each decoder's own.
        guidance: Classifier-free guidance; None takes each decoder's own.
        source_guidance: Guidance by the medium that is edited, for decoders that use one; None takes their own.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    media: dict[str, Literal["force", "allow", "forbid"]] = Field(default_factory=dict)
    max_new_tokens: NonNegativeInt = 64
    max_media: NonNegativeInt = 4
    temperature: NonNegativeFloat = 0.0
    top_p: PositiveFloat = 1.0
    decode: bool = True
    steps: PositiveInt | None = None
    guidance: NonNegativeFloat | None = None
    source_guidance: NonNegativeFloat | None = None


@dataclass
class _Row:
    """State of one answer in the making."""

    generator: torch.Generator
    forced: list[str]
    before: dict[str, Tensor]
    media_before: dict[str, Media]
    segments: list[list[int] | tuple[str, list[Tensor]]] = field(default_factory=list)
    run: str | None = None
    planned: Tensor | None = None
    tokens: int = 0
    media: int = 0
    done: bool = False

    def add_token(self, token: int) -> None:
        if not self.segments or isinstance(self.segments[-1], tuple):
            self.segments.append([])
        last = self.segments[-1]
        assert isinstance(last, list)
        last.append(token)
        self.tokens += 1

    def close_run(self) -> None:
        """End the run; what was made is what came before the next one."""
        assert self.run is not None
        self.before[self.run] = torch.stack(self.features())
        self.run, self.planned = None, None

    def features(self) -> list[Tensor]:
        last = self.segments[-1]
        assert isinstance(last, tuple)
        return last[1]


@torch.no_grad()
def generate(
    model: Network, conversations: Sequence[Conversation], seeds: Sequence[int], options: GenerationOptions
) -> list[Message]:
    """Answer a batch of conversations.

    Args:
        model: The model; its mode is set to eval meanwhile.
        conversations: Prompts; a last assistant message is read as part of the prompt's past.
        seeds: One per conversation; text and media of a row depend on nothing else.
        options: See :class:`GenerationOptions`.

    Raises:
        anyloom.errors.ConversationError: ``options.media`` names a modality that the model does not make.
    """
    for name in options.media:
        if name not in model.tags:
            raise ConversationError(
                f"the model does not make {name!r}", where="generate.media", fix=f"it makes {', '.join(model.tags)}"
            )
    training = model.training
    model.eval()
    try:
        rows = _decode_tokens(model, conversations, seeds, options)
        return _messages(model, rows, seeds, options)
    finally:
        model.train(training)


def _prompt(
    model: Network, conversations: Sequence[Conversation]
) -> tuple[Tensor, Tensor, list[dict[str, Tensor]], list[dict[str, Media]]]:
    """Embeddings ``(B, S, H)`` and mask ``(B, S)`` of the prompts, padded on the left; last features and last media."""
    collator = model.collator(diffusion=False)
    sequences = [collator.interleaver(c, open_answer=True) for c in conversations]
    batch = _to(collator.join(sequences), model.device)
    features = {name: model.encode(name, media) for name, media in batch.media.items()}
    x, length = model.embed(batch, features), batch.attention_mask.shape[1]
    pad = length - batch.attention_mask.sum(1, keepdim=True)
    source = torch.arange(length, device=x.device)[None] - pad
    mask = (source >= 0).long()
    index = source.clamp_min(0)[..., None].expand(-1, -1, x.shape[-1])
    before: list[dict[str, Tensor]] = [{} for _ in conversations]
    for name, media in batch.media.items():
        for place, row in enumerate(media.row.tolist()):
            before[row][name] = features[name][place]
    media_before = [{run.media.modality: run.media for run in sequence.runs} for sequence in sequences]
    return x.gather(1, index) * mask[..., None], mask, before, media_before


def _to(batch: Batch, device: torch.device) -> Batch:
    from lightning.fabric.utilities import move_data_to_device

    moved: Batch = move_data_to_device(batch, device)
    return moved


def _decode_tokens(
    model: Network, conversations: Sequence[Conversation], seeds: Sequence[int], options: GenerationOptions
) -> list[_Row]:
    x, mask, before, media_before = _prompt(model, conversations)
    forced = [name for name, how in options.media.items() if how == "force"]
    rows = [_Row(torch.Generator().manual_seed(s), list(forced), b, m) for s, b, m in zip(seeds, before, media_before)]
    banned = _banned(model, options, x.device)
    cache, position = None, (mask.cumsum(1) - 1).clamp_min(0)
    while True:
        output = model.llm(x, mask, position, cache, use_cache=True)
        cache = output.cache
        x = _step(model, rows, output.hidden[:, -1], banned, options)
        if all(row.done for row in rows):
            return rows
        alive = torch.tensor([[not row.done] for row in rows], device=x.device).long()
        mask = torch.cat([mask, alive], 1)
        position = (mask.sum(1, keepdim=True) - 1).clamp_min(0)


def _banned(model: Network, options: GenerationOptions, device: torch.device) -> Tensor:
    """Ids that are never sampled: special tokens, end tags, and begin tags of forbidden modalities."""
    ends = [tags.end for tags in model.tags.values()]
    begins = [tags.begin for name, tags in model.tags.items() if options.media.get(name) == "forbid"]
    return torch.tensor([*model.llm.tokenizer.special_ids(), *ends, *begins], device=device)


def _step(model: Network, rows: list[_Row], hidden: Tensor, banned: Tensor, options: GenerationOptions) -> Tensor:
    """Advance every row by one position; returns the next input embeddings ``(B, 1, H)``."""
    ids = torch.full((len(rows),), model.llm.tokenizer.pad_id, device=hidden.device)
    in_text = [i for i, row in enumerate(rows) if not row.done and row.run is None]
    if in_text:
        logits = model.llm.logits(hidden[in_text]).float()
        logits[:, banned] = -torch.inf
        for i, scores in zip(in_text, logits):
            ids[i] = _next_token(model, rows[i], scores, options)
    feature_rows: dict[str, list[int]] = {}
    for i, row in enumerate(rows):
        if row.run is None or i in in_text:
            continue
        if len(row.features()) == model.tags[row.run].steps:
            ids[i] = model.tags[row.run].end
            row.close_run()
        else:
            feature_rows.setdefault(row.run, []).append(i)
    x = model.llm.embed(ids)
    for name, indices in feature_rows.items():
        x[indices] = _next_features(model, name, [rows[i] for i in indices], hidden[indices]).to(x.dtype)
    return x[:, None]


def _next_token(model: Network, row: _Row, scores: Tensor, options: GenerationOptions) -> int:
    begins = {tags.begin: name for name, tags in model.tags.items()}
    if row.forced:
        token = model.tags[row.forced.pop(0)].begin
    elif row.tokens >= options.max_new_tokens:
        token = model.llm.tokenizer.eos_id
    else:
        if row.media >= options.max_media:
            scores[list(begins)] = -torch.inf
        token = _sample(scores, row.generator, options)
    if token == model.llm.tokenizer.eos_id:
        row.done = True
    elif token in begins:
        row.run, row.media = begins[token], row.media + 1
        row.segments.append((begins[token], []))
    else:
        row.add_token(token)
    return token


def _sample(scores: Tensor, generator: torch.Generator, options: GenerationOptions) -> int:
    if options.temperature == 0:
        return int(scores.argmax())
    probabilities = (scores / options.temperature).softmax(-1).cpu()
    ordered, order = probabilities.sort(descending=True)
    ordered[ordered.cumsum(0) - ordered >= options.top_p] = 0
    return int(order[torch.multinomial(ordered, 1, generator=generator)])


def _next_features(model: Network, name: str, rows: list[_Row], hidden: Tensor) -> Tensor:
    """Predict and keep the next feature of rows inside a run; returns its embeddings ``(R, H)``."""
    space = model.spaces[name]
    nothing = hidden.new_zeros(space.tokens, space.dim)
    before = torch.stack([row.before.get(name, nothing) for row in rows])
    step = torch.tensor([len(row.features()) for row in rows], device=hidden.device)
    source = before[torch.arange(len(rows), device=hidden.device), step]
    if model.config.feature_steps == "parallel":
        for row, plan in zip(rows, model.project_out(name, hidden, before)):
            row.planned = plan if row.planned is None else row.planned
        features = torch.stack([row.planned[len(row.features())] for row in rows if row.planned is not None])
    else:
        features = model.project_out(name, hidden, source)
    for row, feature in zip(rows, features):
        row.features().append(feature)
    return model.project_in(name, features, source)


def _messages(model: Network, rows: list[_Row], seeds: Sequence[int], options: GenerationOptions) -> list[Message]:
    predicted = {
        (r, s): Predicted(segment[0], torch.stack(segment[1]), seeds[r] + 7919 * s)
        for r, row in enumerate(rows)
        for s, segment in enumerate(row.segments)
        if isinstance(segment, tuple)
    }
    how = {"steps": options.steps, "guidance": options.guidance, "source_guidance": options.source_guidance}
    made = decode_answers(model, predicted, [row.media_before for row in rows], how if options.decode else None)
    return [
        Message("assistant", [_segment(model, made, r, s, x) for s, x in enumerate(row.segments)])
        for r, row in enumerate(rows)
    ]


def _segment(
    model: Network,
    made: dict[tuple[int, int], Media],
    r: int,
    s: int,
    segment: list[int] | tuple[str, list[Tensor]],
) -> Segment:
    return made[r, s] if isinstance(segment, tuple) else Text(model.llm.tokenizer.decode(segment))
