"""When a training module may keep features of encoders, and what keeping them on disk takes.

They must not change; and where they are kept in memory, one process must see them all.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from anyloom.config.schema import FeatureStoreConfig
from anyloom.errors import AnyloomError, ConfigError
from anyloom.features.room import bytes_on_disk, held
from anyloom.interfaces.decoder import Decoder
from anyloom.interfaces.encoder import Encoder
from anyloom.network.network import Network
from anyloom.network.parts import Parts
from anyloom.storage.space import require_room

__all__ = ["frozen_problems", "store_notes", "worker_problems"]

_WHERE = "module.cache_features"
_HEADER = 200  # bytes of an entry beside its values, about


def worker_problems(sections: Mapping[str, Any]) -> list[ConfigError]:
    """Return a problem if data workers, which never see the cache fill, are asked to use it.

    >>> sections = {"module": {"cache_features": True}, "data": {"workers": 2}}
    >>> [problem.where for problem in worker_problems(sections)]
    ['module.cache_features']
    """
    module, data = sections.get("module"), sections.get("data")
    options = module if isinstance(module, Mapping) else {}
    workers = data.get("workers") if isinstance(data, Mapping) else 0
    if options.get("cache_features") is not True or not workers:
        return []
    what = f"data workers cannot see the cached features, and data.workers is {workers}"
    return [
        ConfigError(
            what, where=_WHERE, fix="name a folder to keep them on disk, set data.workers: 0, or switch the cache off"
        )
    ]


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


def store_notes(option: Path | FeatureStoreConfig, network: Network) -> list[str]:
    """Say what keeping features on disk will do: where, how much there is, and what a thousand media take.

    Args:
        option: ``module.cache_features``.
        network: On the meta device.
    """
    config = option if isinstance(option, FeatureStoreConfig) else FeatureStoreConfig(folder=option)
    there = held(config.folder)
    notes = [
        f"features are kept in {config.folder}: {there / 1e9:,.3g} GB are there, at most {config.max_gb:,.3g} GB fit"
    ]
    for table, (encoder, _, modality) in sorted(network.encoded_tables().items()):
        assert isinstance(encoder, Encoder)
        space = encoder.feature_space(modality)
        width = next((p.element_size() for p in encoder.parameters() if p.is_floating_point()), 4)
        size = bytes_on_disk(space.tokens * space.dim * width + _HEADER)
        notes.append(f"features of {table}: {size / 1e3:,.3g} kB each, {size / 1e3:,.4g} MB for 1,000 media")
    for decoder, _, modality in network.latent_tables().values():
        assert isinstance(decoder, Decoder)
        latents = decoder.latents(decoder.example())
        size = bytes_on_disk(latents.numel() * latents.element_size() + _HEADER)
        made = f"latents of {modality} that are to be produced"
        notes.append(f"{made}: {size / 1e3:,.3g} kB each, {size / 1e3:,.4g} MB for 1,000 media")
    try:
        require_room(config.folder)
    except AnyloomError as error:
        notes.append(f"features cannot be kept there, and the run would go on without: {error}")
    return notes
