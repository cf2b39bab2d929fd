"""What a run prints: progress and results, without other people's noise."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["without_noise"]

_LOGGERS = ("lightning.pytorch.utilities.rank_zero", "lightning.fabric.utilities.rank_zero")


@contextmanager
def without_noise() -> Iterator[None]:
    """Leave out lightning's advertisements and its warnings about its own insides; all else stays visible."""
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    for logger in loggers:
        logger.addFilter(_worth_reading)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=r".*LeafSpec.*is deprecated", category=FutureWarning)
            yield
    finally:
        for logger in loggers:
            logger.removeFilter(_worth_reading)


def _worth_reading(record: logging.LogRecord) -> bool:
    return "Tip: " not in str(record.msg)
