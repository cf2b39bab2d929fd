"""Is the answer nearest to the target, among candidates that differ from it in one respect or another?

The answer is free-running: the predicted feature, or what the encoder sees in the decoded answer; or, to know what the
decoder alone loses, in what the decoder makes of the target's own feature. Two galleries: ``hard``, the candidates
that the sample names (all variants of its subject), and ``full``, these, the targets of all other measured samples,
and everything in the data set's own gallery if it has one. Both with the input among the candidates and, as
``..._no_input``, without it. Two baselines answer the same questions: copying the input's feature, and vector
arithmetic c(B) + mean of c(A') - c(A) over the prompt's example pairs (A, A').
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

from anyloom.building import build_named
from anyloom.conversation import Media
from anyloom.errors import ConfigError
from anyloom.interfaces import ComponentConfig, Decoder, Evaluated, ModelView, Sample
from anyloom_incontext.answer_features import answer_features
from anyloom_incontext.features import FeatureTable, identity
from anyloom_incontext.gallery import closer_in_pool, gallery_of, media_of, pool_of
from anyloom_incontext.grouping import GroupedMeans, joined, pack_names, unpack_names
from anyloom_incontext.provenance import Edit, Find, edit_of, number_of, wants_media
from anyloom_incontext.ranking import chance_of_hit, squared_distances, standing
from anyloom_incontext.retrieval_values import GALLERIES, values_of

__all__ = ["Retrieval"]

_QUERIES = ("", "_copying", "_arithmetic")
_STATES = ("queries", "targets", "target_numbers", "own_numbers", "own_counts", "standings", "target_states")


class Retrieval(GroupedMeans):
    """Top-k accuracy by nearest feature, the share of answers that copy the input, and both baselines.

    >>> from anyloom import AnyToAnyModel
    >>> from anyloom.conversation import Conversation, Media, Message
    >>> from anyloom.interfaces import Evaluated, Sample
    >>> levels = [Media("image", torch.full((3, 64, 64), level), key=f"{level}") for level in (0.2, 0.5, 0.8)]
    >>> asked = Conversation([Message("user", ["Darker.", levels[2]]), Message("assistant", [levels[0]])])
    >>> sample = Sample(asked, "edit", {"candidates": levels})
    >>> model = AnyToAnyModel.from_pretrained("mini", decoders_later=True)
    >>> metric = Retrieval(Retrieval.Config(top=(1,)))
    >>> metric.prepare(model)
    >>> encoder = model.encoder("image")
    >>> predicted = encoder(encoder.preprocess(levels[0])[None], "image")[0]
    >>> metric.update([Evaluated(sample, Message("assistant", [Media("image", features=predicted)]))])
    >>> values = metric.compute()
    >>> {name: values[f"edit/{name}"].item() for name in ("hard_top1", "hard_top1_copying", "copy_rate")}
    {'hard_top1': 1.0, 'hard_top1_copying': 0.0, 'copy_rate': 0.0}
    """

    class Config(ComponentConfig):
        """Options.

        Args:
            modality: Modality of the target.
            tasks: Tasks that count; None takes every sample with candidates.
            examples: Numbers of example pairs that count, for samples that have one; None takes all.
            answer: ``predicted``, ``decoded`` or ``reconstructed``: what is compared, see above.
            top: The k of top-k.
            dataset: Data set component with a method ``media(key)`` that gives candidates by key, and perhaps
                ``gallery(modality)`` that lists media for the full gallery. Features of these are kept for later runs
                if it has a method ``gallery_source()``: the digest of what they depend on besides their keys.
            alike: Take the listed media in the target's own state (mirrored, where the target is mirrored), which
                is harder and slower. Needs ``gallery(modality, state=...)`` and ``state(key)`` of the data set.
        """

        modality: str = "image"
        tasks: tuple[str, ...] | None = None
        examples: tuple[int, ...] | None = None
        answer: Literal["predicted", "decoded", "reconstructed"] = "predicted"
        top: tuple[int, ...] = (1, 5)
        dataset: dict[str, Any] | None = None
        alike: bool = False

    config: Config
    needs_model: bool = True
    queries: list[Tensor]
    targets: list[Tensor]
    target_numbers: list[Tensor]
    own_numbers: list[Tensor]
    own_counts: list[Tensor]
    standings: list[Tensor]
    target_states: list[Tensor]

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        for state in _STATES:
            self.add_state(state, [], dist_reduce_fx="cat")
        tops = [f"{g}_top{k}{q}" for g in GALLERIES for k in config.top for q in _QUERIES]
        self.columns = (*tops, "copy_rate", "candidates")  # type: ignore[misc]
        self.measures = values_of(config.answer, config.top, alike=config.alike)
        self.needs_media = config.answer == "decoded"
        self._table: FeatureTable | None = None
        self._decoder: Decoder | None = None
        self._filled: Tensor | None = None
        self._encoded: set[str] = set()
        self._dataset = build_named("dataset", config.dataset, where="metric.dataset") if config.dataset else None
        self._find: Find | None = getattr(self._dataset, "media", None)
        if config.alike and not hasattr(self._dataset, "state"):
            raise ConfigError(
                "the data set cannot tell the state of its media", where="metric.alike", fix="set it to false"
            )

    def __getstate__(self) -> dict[str, Any]:
        """Leave the model's parts behind."""
        return {**super().__getstate__(), "_table": None, "_decoder": None}

    def prepare(self, model: ModelView | None) -> None:
        """Take the encoder of the model, and the decoder if it is to be judged."""
        if model is None:
            raise ConfigError(
                "it looks at the model, and there is none", where="metric", fix="leave it out of the suite"
            )
        self._table = FeatureTable(model, self.config.modality)
        self._encoded = set()
        if self.config.answer == "reconstructed":
            self._decoder = model.decoder(self.config.modality)

    def reset(self) -> None:
        """Forget all samples."""
        super().reset()
        self._filled = None

    def _listed(self, state: str = "") -> list[Media]:
        """What the data set lists for the full gallery of targets in a state."""
        gallery = getattr(self._dataset, "gallery", None)
        if gallery is None or self._table is None:
            return []
        return list(gallery(self.config.modality, state=state) if self.config.alike else gallery(self.config.modality))

    def _source(self) -> str | None:
        """What the data set says that its media depend on besides their keys; None where it does not."""
        source = getattr(self._dataset, "gallery_source", None)
        return None if source is None else str(source())

    def _state(self, edit: Edit) -> str:
        state: str = self._dataset.state(edit.target.key) if self.config.alike else ""  # type: ignore[union-attr]
        return state

    def wants(self, sample: Sample) -> bool:
        """Samples with candidates whose target is of the modality."""
        examples, k = self.config.examples, sample.provenance.get("k")
        chosen = examples is None or k is None or k in examples
        chosen = chosen and wants_media(sample, self.config.modality, self.config.tasks)
        return chosen and bool(sample.provenance.get("candidates"))

    def update(self, evaluated: list[Evaluated]) -> None:
        """Rank the candidates of each sample."""
        assert self._table is not None, "prepare() comes first"
        edits = [edit_of(e.sample, self.config.modality, self._find) for e in evaluated]
        known = [(e, edit) for e, edit in zip(evaluated, edits) if edit is not None]
        self._table.add(m for _, edit in known for m in media_of(edit))
        for state in {self._state(edit) for _, edit in known} - self._encoded:
            self._table.add_listed(self._listed(state), self._source())
            self._encoded.add(state)
        for (one, edit), answer in zip(known, answer_features(self.config.answer, self._table, known, self._decoder)):
            self._rank(self._table, one, edit, answer)
        self._filled = None

    def _rank(self, table: FeatureTable, evaluated: Evaluated, edit: Edit, answer: Tensor | None) -> None:
        target = table.get([edit.target])
        gallery, queries = gallery_of(table, edit), _queries(table, edit, answer)
        own, aim = squared_distances(queries, gallery.features), squared_distances(queries, target)[:, 0]
        standings = torch.stack([*standing(own, aim), *standing(own, aim, ~gallery.is_input)], -1)
        values: dict[str, float | None] = {"candidates": len(gallery.numbers) + 1.0}
        if bool(gallery.is_input.any()) and not bool(queries[0].isnan().any()):
            rest = torch.cat([own[:1, ~gallery.is_input], aim[:1, None]], 1)
            values["copy_rate"] = float(chance_of_hit(*standing(rest, own[:1, gallery.is_input][:, 0]), 1))
        self.record(evaluated.sample, values)
        number = torch.tensor([number_of(identity(edit.target))])
        count = torch.tensor([len(gallery.numbers)])
        state = pack_names([self._state(edit)])
        for name, row in zip(_STATES, (queries[None], target, number, gallery.numbers, count, standings[None], state)):
            getattr(self, name).append(row.to(self.device))

    def table(self) -> Tensor:
        """Per-sample values; those of the full gallery need all samples and are filled in here."""
        rows = super().table()
        if self._filled is None or len(self._filled) != len(rows):
            self._filled = self._fill(rows.clone())
        return self._filled

    def _fill(self, rows: Tensor) -> Tensor:
        queries, standings = joined(self.queries), joined(self.standings)
        more = self._closer_in_pool(queries)
        undefined = queries.isnan().any(-1)
        undefined[:, 0] = False
        missing = queries[:, 0].isnan().any(-1)
        for gallery in GALLERIES:
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

    def _closer_in_pool(self, queries: Tensor) -> Tensor:
        """Counts ``(N, 3, 2)`` for each sample, against the gallery of its target's state."""
        targets, numbers = joined(self.targets), joined(self.target_numbers)
        own = torch.split(joined(self.own_numbers), joined(self.own_counts).tolist())
        states = [unpack_names(row)[0] for row in joined(self.target_states)]
        counts = torch.zeros(*queries.shape[:2], 2, dtype=torch.long)
        for state in dict.fromkeys(states):
            listed = self._listed(state)
            features = self._table.get(listed) if self._table is not None and listed else targets[:0]
            pool = pool_of(targets, numbers, listed, features)
            members = [i for i, s in enumerate(states) if s == state]
            mine = [own[i] for i in members]
            counts[members] = closer_in_pool(queries[members], targets[members], numbers[members], mine, pool)
        return counts


def _queries(table: FeatureTable, edit: Edit, answer: Tensor | None) -> Tensor:
    """Features ``(3, D)``: the answer's, the input's, arithmetic; NaN where there is none."""
    nothing = torch.full((table.get([edit.target]).shape[1],), torch.nan)
    source = nothing if edit.source is None else table.get([edit.source])[0]
    arithmetic = nothing
    if edit.examples:
        before, after = zip(*edit.examples)
        arithmetic = source + (table.get(after) - table.get(before)).mean(0)
    return torch.stack([nothing if answer is None else answer, source, arithmetic])
