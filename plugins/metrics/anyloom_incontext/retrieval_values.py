"""What the values of the metric ``retrieval`` are, in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from anyloom.interfaces import ValueInfo

__all__ = ["ANSWERS", "GALLERIES", "values_of"]

GALLERIES: Final = ("hard", "hard_no_input", "full", "full_no_input")
ANSWERS: Final = {
    "predicted": "the predicted feature",
    "decoded": "what the encoder sees in the decoded answer",
    "reconstructed": "what the encoder sees in media that the decoder made of the target's own feature",
}


def values_of(answer: str, top: Sequence[int], *, alike: bool = False) -> dict[str, ValueInfo]:
    """Title and explanation of every top-k value and of the copy rate.

    Args:
        answer: One of :data:`ANSWERS`.
        top: The k of top-k.
        alike: Whether media of the data set are in the target's state.

    >>> sorted(values_of("predicted", [1]))
    ['copy_rate', 'full_no_input_top1', 'full_top1', 'hard_no_input_top1', 'hard_top1']
    """
    found = {f"{gallery}_top{k}": _explained(answer, gallery, k, alike) for gallery in GALLERIES for k in top}
    if answer != "reconstructed":
        found["copy_rate"] = ValueInfo(
            "Answers that copy the input" + _of(answer),
            "Share of answers whose nearest candidate is the unchanged input.",
            better="lower",
        )
    return found


def _of(answer: str) -> str:
    return {"decoded": ", decoded", "reconstructed": ", decoder alone"}.get(answer, "")


def _explained(answer: str, gallery: str, k: int, alike: bool) -> ValueInfo:
    hard, without = gallery.startswith("hard"), gallery.endswith("no_input")
    where = "its own variants" if hard else "everything"
    place = "" if k == 1 else f", first {k}"
    nearest = f"{'the nearest candidate' if k == 1 else f'among the {k} nearest candidates'} to {ANSWERS[answer]}"
    among = "The candidates are variants of the same subject" + (
        ""
        if hard
        else f", the targets of all other samples, and all media of the data set{', edited like the target' * alike}"
    )
    among += ", edited like the target" if alike and not hard else ""
    rule = (
        "the input is not one of them, so an answer that stays too near to it may still be right"
        if without
        else "the input is one of them, so an answer that copies it is wrong"
    )
    return ValueInfo(
        f"Target recognised among {where}{place}{_of(answer)}{' (input left out)' if without else ''}",
        f"Share of answers for which the target is {nearest}. {among}; {rule}.",
    )
