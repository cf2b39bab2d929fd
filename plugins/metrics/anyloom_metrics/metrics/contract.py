"""What a metric says of itself: its inputs, whether they pair, their rate and range, and whose protocol it follows."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Contract"]


@dataclass(frozen=True)
class Contract:
    """Conditions under which a metric's numbers mean what they say; stands beside them in reports.

    Args:
        inputs: What it reads of a sample: answer, target, input, real, prompt, caption, edited_caption, references,
            answers.
        paired: Whether each answer is compared with something of its own sample; if not, sets are compared.
        sample_rate: Hz that sounds must have; None if any, as long as it is known.
        value_range: Range of the values that pictures or sounds must have.
        preset: The published protocol, as ``source@version`` where there is one.
    """

    inputs: tuple[str, ...]
    paired: bool
    sample_rate: int | None = None
    value_range: tuple[float, float] | None = None
    preset: str = ""
