"""Is the predicted feature nearest to the target's, among candidates that differ from it in one respect or another?

The prediction is free-running. Two galleries: ``hard``, the candidates that the sample names (all variants of its
subject), and ``full``, these, the targets of all other measured samples, and everything in the data set's own gallery
if it has one. Both with the input among the candidates
and, as ``..._no_input``, without it. Two baselines answer the same questions: copying the input's feature, and vector
arithmetic c(B) + c(A') - c(A) where the prompt has exactly one example pair (A, A').
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from anyloom import AnyToAnyModel
from anyloom.building import build_named
from anyloom.conversation import Media
from anyloom.interfaces import ComponentConfig, Evaluated, Sample
from anyloom_incontext.features import FeatureTable, identity, number_of
from anyloom_incontext.grouping import GroupedMeans, joined
from anyloom_incontext.provenance import Edit, Find, edit_of, groups_of, wants_media
from anyloom_incontext.ranking import chance_of_hit, squared_distances, standing

__all__ = ["Retrieval"]

_QUERIES = ("", "_copying", "_arithmetic")
_GALLERIES = ("hard", "hard_no_input", "full", "full_no_input")


@dataclass(frozen=True)
class _Gallery:
    """The candidates of one sample, without its target: features ``(C, D)``, numbers, and which one is the input."""

    features: Tensor
    numbers: Tensor
    is_input: Tensor


class Retrieval(GroupedMeans):
    """Top-k accuracy by nearest feature, the share of answers that copy the input, and both baselines."""

    class Config(ComponentConfig):
        """Options.

        Args:
            modality: Modality of the target.
            tasks: Tasks that count; None takes every sample with candidates.
            top: The k of top-k.
            dataset: Data set component with a method ``media(key)`` that gives candidates by key, and perhaps
                ``gallery(modality)`` that lists media for the full gallery.
        """

        modality: str = "image"
        tasks: tuple[str, ...] | None = None
        top: tuple[int, ...] = (1, 5)
        dataset: dict[str, Any] | None = None

    config: Config
    queries: list[Tensor]
    targets: list[Tensor]
    target_numbers: list[Tensor]
    own_numbers: list[Tensor]
    own_counts: list[Tensor]
    standings: list[Tensor]

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        for state in ("queries", "targets", "target_numbers", "own_numbers", "own_counts", "standings"):
            self.add_state(state, [], dist_reduce_fx="cat")
        hard = [f"{g}_top{k}{q}" for g in _GALLERIES for k in config.top for q in _QUERIES]
        self.columns = (*hard, "copy_rate", "candidates")  # type: ignore[misc]
        self.measures = {f"{g}_top{k}": _explained(g, k) for g in _GALLERIES for k in config.top} | _COPY_RATE
        self._table: FeatureTable | None = None
        self._dataset = build_named("dataset", config.dataset, where="metric.dataset") if config.dataset else None
        self._find: Find | None = getattr(self._dataset, "media", None)

    def __getstate__(self) -> dict[str, Any]:
        """Leave the encoder behind."""
        return {**super().__getstate__(), "_table": None}

    def prepare(self, model: AnyToAnyModel) -> None:
        """Take the encoder of the model; what was encoded by the same frozen encoder before is kept."""
        if self._table is None or not self._table.serves(model):
            self._table = FeatureTable(model, self.config.modality)
            self._table.add(self._listed())

    def _listed(self) -> list[Media]:
        """What the data set lists for the full gallery."""
        gallery = getattr(self._dataset, "gallery", None)
        return list(gallery(self.config.modality)) if gallery is not None else []

    def wants(self, sample: Sample) -> bool:
        """Samples with candidates whose target is of the modality."""
        chosen = wants_media(sample, self.config.modality, self.config.tasks)
        return chosen and bool(sample.provenance.get("candidates"))

    def update(self, evaluated: list[Evaluated]) -> None:
        """Rank the candidates of each sample."""
        assert self._table is not None, "prepare() comes first"
        edits = [edit_of(e.sample, self.config.modality, self._find) for e in evaluated]
        known = [(e, edit) for e, edit in zip(evaluated, edits) if edit is not None]
        self._table.add(m for _, edit in known for m in _all_media(edit))
        for one, edit in known:
            self._rank(self._table, one, edit)

    def _rank(self, table: FeatureTable, evaluated: Evaluated, edit: Edit) -> None:
        target = table.get([edit.target])
        gallery, queries = self._gallery(table, edit), self._queries(table, evaluated, edit)
        own, aim = squared_distances(queries, gallery.features), squared_distances(queries, target)[:, 0]
        standings = torch.stack([*standing(own, aim), *standing(own, aim, ~gallery.is_input)], -1)
        values: dict[str, float | None] = {"candidates": len(gallery.numbers) + 1.0}
        if bool(gallery.is_input.any()) and not bool(queries[0].isnan().any()):
            rest = torch.cat([own[:1, ~gallery.is_input], aim[:1, None]], 1)
            values["copy_rate"] = float(chance_of_hit(*standing(rest, own[:1, gallery.is_input][:, 0]), 1))
        self.record(groups_of(evaluated.sample), values)
        rows = {
            "queries": queries[None],
            "targets": target,
            "target_numbers": torch.tensor([number_of(identity(edit.target))]),
            "own_numbers": gallery.numbers,
            "own_counts": torch.tensor([len(gallery.numbers)]),
            "standings": standings[None],
        }
        for state, row in rows.items():
            getattr(self, state).append(row.to(self.device))

    @staticmethod
    def _gallery(table: FeatureTable, edit: Edit) -> _Gallery:
        aim, source = identity(edit.target), None if edit.source is None else identity(edit.source)
        media = {identity(m): m for m in _all_media(edit, examples=False)}
        media.pop(aim)
        features = table.get(list(media.values())) if media else table.get([edit.target])[:0]
        return _Gallery(
            features,
            torch.tensor([number_of(n) for n in media], dtype=torch.long),
            torch.tensor([n == source for n in media], dtype=torch.bool),
        )

    def _queries(self, table: FeatureTable, evaluated: Evaluated, edit: Edit) -> Tensor:
        """Features ``(3, D)``: predicted, the input's, arithmetic; NaN where there is none."""
        width = table.get([edit.target]).shape[1]
        nothing = torch.full((width,), torch.nan)
        answered = [m for m in evaluated.answer.media if m.modality == self.config.modality and m.features is not None]
        predicted = answered[0].features if answered else None
        source = nothing if edit.source is None else table.get([edit.source])[0]
        arithmetic = nothing
        if len(edit.examples) == 1:
            before, after = table.get(list(edit.examples[0]))
            arithmetic = source + after - before
        return torch.stack([nothing if predicted is None else predicted.float().cpu().flatten(), source, arithmetic])

    def table(self) -> Tensor:
        """Per-sample values; those of the full gallery need all samples and are filled in here."""
        rows = super().table().clone()
        queries, standings = joined(self.queries), joined(self.standings)
        more = self._closer_in_pool(queries)
        undefined = queries.isnan().any(-1)
        undefined[:, 0] = False
        missing = queries[:, 0].isnan().any(-1)
        for gallery in _GALLERIES:
            first = 2 if gallery.endswith("no_input") else 0
            closer, ties = standings[..., first], standings[..., first + 1]
            if gallery.startswith("full"):
                closer, ties = closer + more[..., 0], ties + more[..., 1]
            for k in self.config.top:
                hits = chance_of_hit(closer, ties, k)
                hits[missing, 0] = 0.0
                hits[undefined] = torch.nan
                for n, query in enumerate(_QUERIES):
                    rows[:, self.columns.index(f"{gallery}_top{k}{query}")] = hits[:, n]
        return rows

    def _pool(self, targets: Tensor, numbers: Tensor) -> tuple[Tensor, Tensor]:
        """Features and numbers of everything in the full gallery, each content key once."""
        listed = self._listed() if self._table is not None else []
        if self._table is not None and listed:
            numbers = torch.cat([numbers, torch.tensor([number_of(identity(m)) for m in listed])])
            targets = torch.cat([targets, self._table.get(listed)])
        first = {n: i for i, n in reversed(list(enumerate(numbers.tolist())))}
        return targets[list(first.values())], torch.tensor(list(first))

    def _closer_in_pool(self, queries: Tensor) -> Tensor:
        """Counts ``(N, 3, 2)`` of other samples' targets that are closer than, or as close as, the own target."""
        numbers, targets = joined(self.target_numbers), joined(self.targets)
        pool, pool_numbers = self._pool(targets, numbers)
        own, counts = joined(self.own_numbers), joined(self.own_counts).tolist()
        result = []
        for mine, asked, aim, number in zip(torch.split(own, counts), queries, targets, numbers):
            others = ~torch.isin(pool_numbers, torch.cat([mine, number[None]]))
            distances = squared_distances(asked, pool[others])
            result.append(torch.stack(standing(distances, squared_distances(asked, aim[None])[:, 0]), -1))
        return torch.stack(result)


def _all_media(edit: Edit, *, examples: bool = True) -> list[Media]:
    """Target, input and candidates of an edit; with ``examples`` also a lone example pair."""
    pair = edit.examples[0] if examples and len(edit.examples) == 1 else ()
    return [edit.target, *([] if edit.source is None else [edit.source]), *edit.candidates, *pair]


def _explained(gallery: str, k: int) -> dict[str, str]:
    """Title and explanation of a top-k value."""
    hard, without = gallery.startswith("hard"), gallery.endswith("no_input")
    where = "its own variants" if hard else "everything"
    place = "" if k == 1 else f", first {k}"
    nearest = f"{'the nearest candidate' if k == 1 else f'among the {k} nearest candidates'} to the predicted feature"
    among = "The candidates are variants of the same subject" + (
        "" if hard else ", the targets of all other samples, and all plain media of the data set"
    )
    rule = (
        "the input is not one of them, so an answer that stays too near to it may still be right"
        if without
        else "the input is one of them, so an answer that copies it is wrong"
    )
    return {
        "title": f"Target recognised among {where}{place}{' (input left out)' if without else ''}",
        "explanation": f"Share of answers for which the target is {nearest}. {among}; {rule}.",
        "better": "higher",
        "form": "percent",
    }


_COPY_RATE: dict[str, dict[str, str]] = {
    "copy_rate": {
        "title": "Answers that copy the input",
        "explanation": "Share of answers whose nearest candidate is the unchanged input.",
        "better": "lower",
        "form": "percent",
    }
}
