"""Which word under which hidden theme an answer shows, judged by the nearest of all pictures it could have been."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor
from torch.nn import functional

from anyloom.building import build_named
from anyloom.conversation import Media
from anyloom.errors import ConfigError
from anyloom.interfaces import ComponentConfig, Evaluated, ModelView, Sample, ValueInfo
from anyloom_incontext.answer_features import answer_features
from anyloom_incontext.features import FeatureTable
from anyloom_incontext.grouping import GroupedMeans
from anyloom_incontext.provenance import Edit, edit_of, wants_media
from anyloom_incontext.ranking import squared_distances

__all__ = ["PictureChoice"]


class PictureChoice(GroupedMeans):
    """Share of answers nearest to the right picture of a grid, ``provenance["grid"]``.

    Rows of the grid are the words that a prompt may name, columns those that are to be inferred;
    ``provenance["chosen"]`` has the number of the right row under ``given`` and of the right column under ``inferred``.
    CoBSAT (arXiv 2402.01293) tells the two aspects apart in the same way, with a large model as judge.

    >>> from anyloom.conversation import Conversation, Message
    >>> shown = [[Media("image", torch.full((3, 8, 8), level)) for level in row] for row in ((0.1, 0.3), (0.6, 0.9))]
    >>> facts = {"grid": shown, "chosen": {"given": 1, "inferred": 1}}
    >>> asked = Sample(Conversation([Message("user", "?"), Message("assistant", [shown[1][1]])]), "infer", facts)
    >>> metric = PictureChoice(PictureChoice.Config(answer="pixels"))
    >>> metric.prepare(None)  # with pixels no model judges
    >>> metric.update([Evaluated(asked, Message("assistant", [shown[1][0]]))])
    >>> values = metric.compute()
    >>> {name: values[f"infer/{name}"].item() for name in ("given", "inferred", "both")}
    {'given': 1.0, 'inferred': 0.0, 'both': 0.0}
    """

    class Config(ComponentConfig):
        """Options.

        Args:
            modality: Modality of the target.
            tasks: Tasks that count; None takes every sample with a grid.
            answer: ``predicted`` or ``decoded``: the nearest feature under the model's encoder. ``pixels``: the mean
                squared difference of the pictures themselves, at the size of the grid's; no model is needed.
            dataset: Data set component with a method ``media(key)``; None if the grid holds media.
        """

        modality: str = "image"
        tasks: tuple[str, ...] | None = None
        answer: Literal["predicted", "decoded", "pixels"] = "predicted"
        dataset: dict[str, Any] | None = None

    config: Config
    columns: ClassVar[tuple[str, ...]] = ("both", "given", "inferred")
    measures: Mapping[str, ValueInfo] = {
        "both": ValueInfo("Both right", "Share of answers in which the given and the inferred word are right."),
        "given": ValueInfo("Given word right", "Share of answers that show what the question names."),
        "inferred": ValueInfo("Inferred word right", "Share of answers that show what the examples have in common."),
    }

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.needs_model = config.answer != "pixels"
        self.needs_media = config.answer != "predicted"
        dataset = build_named("dataset", config.dataset, where="metric.dataset") if config.dataset else None
        self._find = getattr(dataset, "media", None)
        self._table: FeatureTable | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Leave the model's parts behind."""
        return {**super().__getstate__(), "_table": None}

    def prepare(self, model: ModelView | None) -> None:
        """Take the encoder of the model, if it is to judge."""
        if self.needs_model and model is None:
            raise ConfigError("it looks at the model, and there is none", where="metric", fix="use answer: pixels")
        self._table = FeatureTable(model, self.config.modality) if self.needs_model and model is not None else None

    def wants(self, sample: Sample) -> bool:
        """Samples with a grid whose target is of the modality."""
        return wants_media(sample, self.config.modality, self.config.tasks) and bool(sample.provenance.get("grid"))

    def update(self, evaluated: list[Evaluated]) -> None:
        """Find the nearest picture of each grid; an answer without a picture is wrong in every respect."""
        for one, answer in zip(evaluated, self._answers(evaluated)):
            values: dict[str, float | None] = dict.fromkeys(self.columns, 0.0)
            if answer is not None:
                rows = [[self._media(key) for key in row] for row in one.sample.provenance["grid"]]
                flat = [media for row in rows for media in row]
                row, column = divmod(self._nearest(answer, flat), len(rows[0]))
                chosen = one.sample.provenance["chosen"]
                given, inferred = row == chosen["given"], column == chosen["inferred"]
                values = {"both": float(given and inferred), "given": float(given), "inferred": float(inferred)}
            self.record(one.sample, values)

    def _media(self, named: str | Media) -> Media:
        if isinstance(named, Media):
            return named
        if self._find is None:
            raise ConfigError("the grid names media by keys", where="metric.dataset", fix="name the data set")
        media: Media = self._find(named)
        return media

    def _answers(self, evaluated: Sequence[Evaluated]) -> list[Tensor | None]:
        """A feature or the pixels of each answer; None where there is none."""
        if self._table is None:
            media = [
                [m for m in e.answer.media if m.modality == self.config.modality and m.has_data] for e in evaluated
            ]
            return [_pixels(found[0]) if found else None for found in media]
        edits = [edit_of(e.sample, self.config.modality, self._find) for e in evaluated]
        known: list[tuple[Evaluated, Edit]] = [(e, edit) for e, edit in zip(evaluated, edits) if edit is not None]
        return answer_features(self.config.answer, self._table, known, None)

    def _nearest(self, answer: Tensor, grid: Sequence[Media]) -> int:
        if self._table is None:
            pictures = torch.stack([_pixels(media) for media in grid])
            made = functional.interpolate(answer[None], pictures.shape[-2:], mode="bilinear", antialias=True)
            return int((pictures - made).square().flatten(1).mean(1).argmin())
        self._table.add(grid)
        return int(squared_distances(answer[None], self._table.get(grid))[0].argmin())


def _pixels(media: Media) -> Tensor:
    """The picture ``(3, H, W)`` as numbers from 0 to 1."""
    data = media.tensor().detach().cpu()
    return data.float() if data.is_floating_point() else data.float() / 255
