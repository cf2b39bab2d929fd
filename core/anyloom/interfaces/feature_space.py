"""The language that encoders and decoders agree on: which features, how many, of what scale."""

from __future__ import annotations

from typing import Literal

from pydantic import PositiveInt

from anyloom.options import Section

__all__ = ["FeatureSpace"]


class FeatureSpace(Section):
    """The space in which one media item is a tensor ``(L, D)``.

    Args:
        name: Name of the space. Two spaces fit only if their names agree, however equal their sizes.
        dim: D, the width of one feature.
        tokens: L, feature steps per media item.
        scale: ``raw`` as the encoder's last layer gives it, ``unit`` for L2-normalised, ``standard`` for features
            whose dimensions are centred and scaled over the training data, ``code`` for numbers of a codebook.
        codes: Entries of the codebook, where a feature is the number of an entry: a whole number in ``0..codes-1``,
            D is 1 and the scale is ``code``.

    >>> eye = FeatureSpace(name="vit-h", dim=1024, tokens=1, scale="unit")
    >>> eye.mismatch(FeatureSpace(name="vit-h", dim=768, tokens=1, scale="raw"))
    ['dim 1024 is not 768', "scale 'unit' is not 'raw'"]
    """

    name: str
    dim: PositiveInt
    tokens: PositiveInt = 1
    scale: Literal["raw", "unit", "standard", "code"] = "raw"
    codes: PositiveInt | None = None

    def mismatch(self, other: FeatureSpace) -> list[str]:
        """Return one phrase per field in which ``other`` differs; empty if features can pass as they are."""
        names = type(self).model_fields
        return [
            f"{f} {getattr(self, f)!r} is not {getattr(other, f)!r}"
            for f in names
            if getattr(self, f) != getattr(other, f)
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.tokens} x {self.dim}, {self.scale})"
