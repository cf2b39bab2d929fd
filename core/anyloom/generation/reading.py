"""Prompts -> a cache of what the model has read, and the state after the last position.

Shape legend: R prompts, S positions, H hidden size, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from anyloom.conversation.segments import Media
from anyloom.interfaces.llm import KVCache, LLMInputs
from anyloom.network.network import Network
from anyloom.sequence.batch import Batch
from anyloom.sequence.interleave import Interleaved, Run

__all__ = ["Reading", "read", "read_on"]


@dataclass
class Reading:
    """What several answers have read so far.

    Args:
        cache: Keys and values of R rows.
        mask: Which positions of the cache are real ``(R, P)``, long; others are padding on the left.
        position: Position id of the next token ``(R,)``.
        hidden: Hidden state after the last position ``(R, H)``.
        scores: Scores of the next token ``(R, V)``.
        before: For each row the features ``(L, D)`` of the last medium of each modality.
    """

    cache: KVCache
    mask: Tensor
    position: Tensor
    hidden: Tensor
    scores: Tensor
    before: list[dict[str, Tensor]]

    def cropped(self, length: int) -> Reading:
        """The first positions of one row without padding. Its last hidden state is not known any more."""
        self.cache.crop(length)
        return Reading(self.cache, self.mask[:, :length], self.position, self.hidden, self.scores, self.before)

    def select(self, rows: Sequence[int]) -> Reading:
        """Some of the rows, without padding that none of them needs."""
        index = torch.tensor(list(rows), device=self.mask.device)
        cache, mask = self.cache.select(index), self.mask[index]
        padding = int((mask.cumsum(1) == 0).sum(1).min())
        cache.trim(padding)
        before = [self.before[r] for r in rows]
        return Reading(cache, mask[:, padding:], self.position[index], self.hidden[index], self.scores[index], before)


def read(network: Network, prompts: Sequence[Interleaved]) -> Reading:
    """Read prompts from their beginning, all in one pass, padded on the left."""
    collator = network.collator(decoding=False)
    batch = _left_padded(collator.join([[p] for p in prompts]).to(network.device))
    encoded = {name: network.encode(name, media) for name, media in batch.media.items()}
    inputs = network.inputs(batch, network.place(batch, encoded))
    rows = torch.arange(len(prompts), device=batch.ids.device)
    last = torch.full_like(rows, batch.ids.shape[1] - 1)
    inputs = replace(inputs, logits_at=torch.stack([rows, last], 1), keep_cache=True)
    output = network.llm(inputs)
    assert output.cache is not None
    assert output.logits is not None
    before: list[dict[str, Tensor]] = [{} for _ in prompts]
    for name, media in batch.media.items():
        given = encoded[name].given
        if given is not None:
            for place, row in enumerate(media.row.tolist()):
                before[row][name] = given[place]
    return Reading(
        output.cache, batch.segments, batch.position_ids[:, -1] + 1, output.hidden[:, -1], output.logits, before
    )


def read_on(network: Network, reading: Reading, prompt: Interleaved, known: int) -> Reading:
    """Read the rest of a prompt whose first positions are in the cache of a reading of one row.

    Only media beyond those positions are encoded.

    Args:
        network: The model.
        reading: Of one row, ``known`` positions long; its cache is extended.
        prompt: The whole prompt.
        known: Positions of it that the cache holds; no run of a medium is cut there.
    """
    rest = replace(prompt, runs=_runs_from(network, prompt.runs, known, reading.before[0]))
    batch = network.collator(decoding=False).join([[rest]]).to(network.device)
    encoded = {name: network.encode(name, media) for name, media in batch.media.items()}
    placed = network.inputs(batch, network.place(batch, encoded))
    length = batch.ids.shape[1]
    inputs = LLMInputs(
        batch.ids[:, known:],
        batch.position_ids[:, known:],
        torch.cat([reading.mask, torch.ones_like(batch.segments[:, known:])], 1),
        logits_at=torch.tensor([[0, length - known - 1]], device=batch.ids.device),
        cache=reading.cache,
        keep_cache=True,
    )
    if placed.positions is not None and placed.rows is not None and placed.vectors is not None:
        new = placed.positions >= known
        inputs.rows, inputs.positions = placed.rows[new], placed.positions[new] - known
        inputs.vectors = placed.vectors[new]
    output = network.llm(inputs)
    assert output.cache is not None
    assert output.logits is not None
    before = dict(reading.before[0])
    for name, features in encoded.items():
        if features.given is not None:
            before[name] = features.given[-1]
    position = batch.position_ids[:, -1] + 1
    return Reading(output.cache, inputs.segments, position, output.hidden[:, -1], output.logits, [before])


def _runs_from(network: Network, runs: Sequence[Run], known: int, before: Mapping[str, Tensor]) -> list[Run]:
    """Runs beyond the known positions, and of the others the last of each modality with the features it had.

    The latter is what stands before the first new medium; its features are known, so nothing encodes it again.
    """
    last = {run.media.modality: run for run in runs if run.start < known}
    kept = []
    for name, run in last.items():
        space = network.spaces[name].given
        if name in before and space is not None:
            media = Media(name, features=before[name].detach(), space=space.name)
            kept.append(replace(run, media=media, reference=None, target=False, length=space.tokens))
    return sorted([*kept, *(r for r in runs if r.start >= known)], key=lambda run: run.start)


def _left_padded(batch: Batch) -> Batch:
    """The batch with its padding moved to the left, so that all rows end at one position."""
    length = batch.ids.shape[1]
    padding = length - batch.segments.sum(1)  # every row holds one sample, numbered 1
    source = torch.arange(length, device=batch.ids.device)[None] - padding[:, None]
    real = source >= 0
    index = source.clamp_min(0)
    media = {n: replace(m, start=m.start + padding[m.row]) for n, m in batch.media.items()}
    return replace(
        batch,
        ids=batch.ids.gather(1, index),
        position_ids=batch.position_ids.gather(1, index) * real,
        segments=real.long(),
        media=media,
    )
