"""When a training module may keep features of encoders: they must not change, and one process must see them all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from anyloom.errors import ConfigError
from anyloom.network.parts import Parts

__all__ = ["frozen_problems", "worker_problems"]

_WHERE = "module.cache_features"


def worker_problems(sections: Mapping[str, Any]) -> list[ConfigError]:
    """Return a problem if data workers, which never see the cache fill, are asked to use it."""
    module, data = sections.get("module"), sections.get("data")
    options = module if isinstance(module, Mapping) else {}
    workers = data.get("workers") if isinstance(data, Mapping) else 0
    if not options.get("cache_features") or not workers:
        return []
    what = f"data workers cannot see the cached features, and data.workers is {workers}"
    return [ConfigError(what, where=_WHERE, fix="set data.workers: 0, or switch the cache off")]


def frozen_problems(parts: Parts) -> list[ConfigError]:
    """Return a problem for each encoder whose features would change while they are cached."""
    return [
        ConfigError(
            f"the encoder {key!r} is trained, so its features cannot be kept",
            where=_WHERE,
            fix=f"set model.encoders.{key}.freeze: true, or switch the cache off",
        )
        for key, encoder in parts.encoders.items()
        if not getattr(encoder, "frozen", False)
    ]
