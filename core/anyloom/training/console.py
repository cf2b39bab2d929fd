"""What a run prints: progress and results, without other people's noise."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from anyloom.remarks import say

__all__ = ["tell", "without_noise"]

_LOGGERS = ("lightning.pytorch.utilities.rank_zero", "lightning.fabric.utilities.rank_zero")


def tell(text: str) -> None:
    """Say something to whoever runs this, at once and beside the results: on standard error; not under ``-q``."""
    if not logging.getLogger("anyloom").isEnabledFor(logging.WARNING):  # -q switches warnings off everywhere
        return
    say(text)


@contextmanager
def without_noise(*, resuming: bool = False) -> Iterator[None]:
    """Leave out lightning's advertisements and its warnings about its own insides; all else stays visible.

    Args:
        resuming: Also leave out that the folder of checkpoints is not empty.

    >>> with without_noise():
    ...     pass  # a fit
    """
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    for logger in loggers:
        logger.addFilter(_worth_reading)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=r".*LeafSpec.*is deprecated", category=FutureWarning)
            warnings.filterwarnings(
                "ignore", message=r"(?s).*(Jsonargparse|instantiate_classes)", category=DeprecationWarning
            )
            warnings.filterwarnings("ignore", message=r"Found \d+ module\(s\) in eval mode")  # the frozen parts
            if resuming:
                warnings.filterwarnings("ignore", message="Checkpoint directory .* exists and is not empty")
            yield
    finally:
        for logger in loggers:
            logger.removeFilter(_worth_reading)


def _worth_reading(record: logging.LogRecord) -> bool:
    return "Tip: " not in str(record.msg)
