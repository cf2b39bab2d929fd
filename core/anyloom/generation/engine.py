"""Advances many answers together, one position at a time; answers may join and leave while others go on.

Every answer is independent of its batch-mates: the same as alone, up to rounding.

Shape legend: R answers, P positions in the cache, H hidden size, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from anyloom.generation.answer import Answer
from anyloom.generation.options import PlannedMedium
from anyloom.generation.reading import Reading
from anyloom.generation.sampler import next_tokens
from anyloom.interfaces.llm import LLMInputs
from anyloom.network.network import Network

__all__ = ["Engine"]


class Engine:
    """Holds the answers in the making and their common cache.

    Args:
        network: The model; in evaluation mode.
    """

    def __init__(self, network: Network) -> None:
        self.network = network
        self.answers: list[Answer] = []
        self.finished: list[tuple[Answer, Reading]] = []
        self._reading: Reading | None = None
        tokenizer = network.llm.tokenizer
        ends = [tags.end for tags in network.tags.values()]
        self._never = torch.tensor([*tokenizer.special_ids(), *ends], device=network.device)

    def add(self, answers: Sequence[Answer], reading: Reading) -> None:
        """Take in answers whose prompts have been read, one row each."""
        limit = self.network.llm.max_positions
        for answer, before, position in zip(answers, reading.before, reading.position.tolist(), strict=True):
            answer.before = {**before, **answer.before}
            answer.room = None if limit is None else limit - position
        self._reading = reading if self._reading is None else self._joined(self._reading, reading)
        self.answers += answers

    def run(self) -> None:
        """Go on until every answer is done."""
        while self.answers:
            self.step()

    @torch.no_grad()
    def step(self) -> None:
        """Advance every answer by one position; those that are done leave for :attr:`finished`.

        The id that ends an answer is not read: a conversation that goes on reads it with its next turn.
        """
        assert self._reading is not None
        ids, vectors = self._advance(self._reading)
        done = [r for r, answer in enumerate(self.answers) if answer.done]
        if done:
            staying = [r for r in range(len(self.answers)) if r not in done]
            self.finished += [(self.answers[r], self._reading.select([r])) for r in done]
            self.answers = [self.answers[r] for r in staying]
            self._reading = self._reading.select(staying) if staying else None
            ids = [ids[r] for r in staying]
            vectors = {staying.index(r): vector for r, vector in vectors.items()}
        for answer, token in zip(self.answers, ids):
            answer.fed.append(token)
        if self._reading is not None:
            self._reading = self._read(self._reading, ids, vectors)

    def drop(self, answer: Answer) -> None:
        """Forget an answer that nobody waits for any more."""
        row = next(r for r, own in enumerate(self.answers) if own is answer)
        staying = [r for r in range(len(self.answers)) if r != row]
        self.answers.pop(row)
        assert self._reading is not None
        self._reading = self._reading.select(staying) if staying else None

    def _advance(self, reading: Reading) -> tuple[list[int], dict[int, Tensor]]:
        """What every answer reads next: an id each, and embeddings ``(H,)`` of those inside a run."""
        ids = [self.network.llm.tokenizer.pad_id] * len(self.answers)
        vectors: dict[int, Tensor] = {}
        in_runs = [r for r, answer in enumerate(self.answers) if answer.run is not None]
        free: list[int] = []
        for r, answer in enumerate(self.answers):
            if answer.run is None:
                must = answer.must()
                if must is None:
                    free.append(r)
                elif isinstance(must, PlannedMedium):
                    ids[r] = self._begin(answer, answer.begin(must))
                else:
                    ids[r] = answer.end(must)
        for r, token in zip(free, self._sampled(reading, free)):
            answer = self.answers[r]
            ids[r] = self._begin(answer, answer.take(token))
        for name in sorted({self.answers[r].run.modality for r in in_runs if self.answers[r].run is not None}):  # type: ignore[union-attr]
            rows = [r for r in in_runs if (run := self.answers[r].run) is not None and run.modality == name]
            self._advance_runs(name, rows, reading.hidden, ids, vectors)
        return ids, vectors

    def _begin(self, answer: Answer, token: int) -> int:
        """Give a run that has just begun its state."""
        if answer.run is not None and answer.run.state is None:
            representation = self.network.representation(answer.run.modality)
            before = answer.before.get(answer.run.modality) if representation.uses_before else None
            answer.run.state = representation.begin(before, answer.generator)
        return token

    def _advance_runs(
        self, name: str, rows: Sequence[int], hidden: Tensor, ids: list[int], vectors: dict[int, Tensor]
    ) -> None:
        """The next position of answers inside runs of one modality; full runs end with their tag."""
        representation, tags = self.network.representation(name), self.network.tags[name]
        runs = {r: run for r in rows if (run := self.answers[r].run) is not None}
        full = [r for r, run in runs.items() if run.positions == tags.made]
        going = [r for r in runs if r not in full]
        if going:
            embedded = representation.step(hidden[going], [runs[r].state for r in going])
            for r, vector in zip(going, embedded):
                vectors[r], runs[r].positions = vector, runs[r].positions + 1
        if full:
            spaces = self.network.spaces[name]
            for r, features in zip(full, representation.finish(hidden[full], [runs[r].state for r in full])):
                ids[r] = self.answers[r].finish(features, readable=spaces.given == spaces.predicted)

    def _sampled(self, reading: Reading, rows: Sequence[int]) -> list[int]:
        if not rows:
            return []
        scores = reading.scores[list(rows)].float()
        scores[:, self._never] = -torch.inf
        answers = [self.answers[r] for r in rows]
        for own, answer in zip(scores, answers):
            if banned := answer.banned():
                own[banned] = -torch.inf
        return next_tokens(
            scores,
            temperature=[a.options.temperature for a in answers],
            top_p=[a.options.top_p for a in answers],
            generators=[a.generator for a in answers],
        )

    def _read(self, reading: Reading, ids: Sequence[int], vectors: dict[int, Tensor]) -> Reading:
        """One pass over one position of every answer."""
        device = reading.mask.device
        mask = torch.cat([reading.mask, torch.ones_like(reading.mask[:, :1])], 1)
        rows = torch.arange(len(ids), device=device)
        inputs = LLMInputs(
            torch.tensor(ids, device=device)[:, None],
            reading.position[:, None],
            mask,
            logits_at=torch.stack([rows, torch.zeros_like(rows)], 1),
            cache=reading.cache,
            keep_cache=True,
        )
        if vectors:
            inputs.rows = torch.tensor(list(vectors), device=device)
            inputs.positions = torch.zeros_like(inputs.rows)
            inputs.vectors = torch.stack(list(vectors.values()))
        output = self.network.llm(inputs)
        assert output.cache is not None
        assert output.logits is not None
        return Reading(output.cache, mask, reading.position + 1, output.hidden[:, -1], output.logits, reading.before)

    def _joined(self, one: Reading, other: Reading) -> Reading:
        """Both readings' rows, the shorter ones padded on the left."""
        length = max(one.mask.shape[1], other.mask.shape[1])
        masks = [torch.nn.functional.pad(m, (length - m.shape[1], 0)) for m in (one.mask, other.mask)]
        return Reading(
            self.network.llm.join([one.cache, other.cache]),
            torch.cat(masks),
            torch.cat([one.position, other.position]),
            torch.cat([one.hidden, other.hidden]),
            torch.cat([one.scores, other.scores]),
            [*one.before, *other.before],
        )
