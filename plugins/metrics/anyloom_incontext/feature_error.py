"""How far the predicted feature is from the target's, beside how far the input's feature is."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor
from torch.nn import functional

from anyloom.errors import ConfigError
from anyloom.interfaces import ComponentConfig, Evaluated, ModelView, Sample, ValueInfo
from anyloom_incontext.features import FeatureTable
from anyloom_incontext.grouping import GroupedMeans, ratio
from anyloom_incontext.provenance import edit_of, wants_media

__all__ = ["FeatureError"]


class FeatureError(GroupedMeans):
    """Mean squared error and cosine of free-running features; ``relative`` below 1 is better than copying.

    >>> import torch
    >>> from anyloom import AnyToAnyModel
    >>> from anyloom.conversation import Conversation, Media, Message
    >>> light, dark = (Media("image", torch.full((3, 64, 64), level), key=f"{level}") for level in (0.8, 0.2))
    >>> asked = Conversation([Message("user", ["Darker.", light]), Message("assistant", [dark])])
    >>> metric = FeatureError(FeatureError.Config())
    >>> metric.prepare(AnyToAnyModel.from_pretrained("mini", decoders_later=True))  # its encoder
    >>> metric.update([Evaluated(Sample(asked, "edit"), Message("assistant", "sorry"))])  # counts as the zero feature
    >>> {name: round(metric.compute()[f"edit/{name}"].item(), 3) for name in ("cosine", "relative_copying")}
    {'cosine': 0.0, 'relative_copying': 1.0}
    """

    class Config(ComponentConfig):
        """Options.

        Args:
            modality: Modality of the target.
            tasks: Tasks that count; None takes all with such a target.
        """

        modality: str = "image"
        tasks: tuple[str, ...] | None = None

    config: Config
    needs_model: bool = True
    columns: ClassVar[tuple[str, ...]] = ("error", "error_copying", "cosine", "cosine_copying")

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.measures = _explained(config.modality)
        self._table: FeatureTable | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Leave the encoder behind."""
        return {**super().__getstate__(), "_table": None}

    def prepare(self, model: ModelView | None) -> None:
        """Take the encoder of the model."""
        if model is None:
            raise ConfigError(
                "it looks at the model, and there is none", where="metric", fix="leave it out of the suite"
            )
        self._table = FeatureTable(model, self.config.modality)

    def wants(self, sample: Sample) -> bool:
        """Samples whose target is of the modality."""
        return wants_media(sample, self.config.modality, self.config.tasks)

    def update(self, evaluated: list[Evaluated]) -> None:
        """Compare predicted features with the target's; an answer without media counts as the zero feature."""
        assert self._table is not None, "prepare() comes first"
        edits = [edit_of(e.sample, self.config.modality) for e in evaluated]
        self._table.add(m for e in edits if e is not None for m in (e.target, e.source) if m is not None)
        for one, edit in zip(evaluated, edits):
            if edit is None:
                continue
            target = self._table.get([edit.target])[0]
            answered = [m.features for m in one.answer.media if m.modality == self.config.modality]
            predicted = next((f.float().cpu().flatten() for f in answered if f is not None), target * 0)
            values: dict[str, float | None] = _compared(predicted, target, "")
            if edit.source is not None:
                values |= _compared(self._table.get([edit.source])[0], target, "_copying")
            self.record(one.sample, values)

    def derived(self, means: dict[str, Tensor]) -> dict[str, Tensor]:
        """The ratio of the mean errors, and 1 for copying, which it is by definition."""
        if "error_copying" not in means:
            return {}
        relative = ratio(means["error"], means["error_copying"])
        return {"relative": relative, "relative_copying": relative / relative}


def _compared(given: Tensor, target: Tensor, suffix: str) -> dict[str, float | None]:
    return {
        f"error{suffix}": float(functional.mse_loss(given, target)),
        f"cosine{suffix}": float(functional.cosine_similarity(given, target, dim=0)),
    }


def _explained(modality: str) -> dict[str, ValueInfo]:
    """What the values are."""
    return {
        "error": ValueInfo(
            f"Feature error ({modality})",
            "Mean squared error of the predicted feature.",
            better="lower",
            form="number",
        ),
        "relative": ValueInfo(
            f"Feature error relative to copying the input ({modality})",
            "Squared error of the predicted feature, divided by that of the input's own feature. Below 1 the model is "
            "nearer to the target than its input is.",
            better="lower",
            form="number",
        ),
        "cosine": ValueInfo(
            f"Cosine of predicted and wanted feature ({modality})", "1 would be the same direction.", form="number"
        ),
    }
