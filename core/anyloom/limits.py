"""Sizes that no input is allowed to exceed, whoever wrote it. Each can be changed by one environment variable.

Limits of media are options of their modalities (``max_pixels``, ``max_seconds``, ...), those of a data set or a model
are options of theirs. Here stand the limits of what is read before there are options: configs, records of saved models,
headers, conversations, the number of modules that a few numbers in a file can ask for, and what chat templates and
tokenizers of strangers may do to a text.
"""

from __future__ import annotations

import functools
import os
from typing import Final

from anyloom.errors import ConfigError, nearest

__all__ = ["DEFAULTS", "VARIABLE", "limit"]

VARIABLE: Final = "ANYLOOM_LIMITS"
"""Environment variable with other limits, such as ``config-bytes=2000000,modules=200000``."""

DEFAULTS: Final = {
    "config-bytes": 400_000,
    "config-depth": 64,
    "config-size": 2_000_000,
    "record-bytes": 16 * 2**20,
    "header-bytes": 64 * 2**20,
    "conversation-parts": 10_000,
    "modules": 50_000,
    "template-characters": 20_000_000,
    "template-steps": 200_000,
    "tokenizer-growth": 64,
}
"""``config-bytes``: of one file of a config. ``config-depth``: levels of mappings and lists within each other, and
parts of a dotted key. ``config-size``: characters of a whole config and ten for every value, with every alias and
``${...}`` written out; the largest recipe that ships has 12 kB and 9 levels. ``record-bytes``: of a saved model's
``config.json``. ``header-bytes``: of a safetensors header or an index of shards; 100,000 tensors take about 10 MB.
``conversation-parts``: parts of the messages of one conversation. ``modules``: modules of one component; a language
model of 400 billion parameters has two thousand. ``template-characters``: that a chat template writes, or holds in one
value. ``template-steps``: rounds of its loops, and its calls, for one conversation. ``tokenizer-growth``: times that a
tokenizer may make a text longer before it reads it; published ones write three characters for one."""


def limit(name: str) -> int:
    """Return a limit: that of :data:`VARIABLE`, else the default.

    Args:
        name: A key of :data:`DEFAULTS`.

    Raises:
        anyloom.errors.ConfigError: The variable names no limit, or gives it no positive whole number.

    >>> limit("config-depth")
    64
    """
    return _given(os.environ.get(VARIABLE, "")).get(name, DEFAULTS[name])


@functools.cache
def _given(text: str) -> dict[str, int]:
    found: dict[str, int] = {}
    for entry in filter(None, (part.strip() for part in text.split(","))):
        name, _, number = entry.partition("=")
        if name not in DEFAULTS:
            fix = nearest(name, DEFAULTS) or f"limits: {', '.join(DEFAULTS)}"
            raise ConfigError(f"there is no limit {name!r}", where=VARIABLE, fix=fix)
        if not (number.isdecimal() and int(number) > 0):
            raise ConfigError(f"{number!r} is no positive whole number", where=VARIABLE, fix=f"write {name}=1000")
        found[name] = int(number)
    return found
