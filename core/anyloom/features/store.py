"""Features and latents on disk: written by the processes that encode, read by data workers, used by later runs.

An entry is one file, ``FOLDER/<what made it>/<first two letters>/<content of the medium>.safetensors``. Its path says
all that the features depend on (:mod:`anyloom.features.identity`, :mod:`anyloom.features.content`), so an entry that
is stale is never found. Files come whole or not at all, so any number of processes may write at once.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from anyloom.config.schema import FeatureStoreConfig
from anyloom.conversation.segments import Media
from anyloom.discovery.guarding import tell
from anyloom.errors import AnyloomError
from anyloom.features.cache import Kept
from anyloom.features.content import content_name
from anyloom.features.entry import BrokenEntryError, as_bytes, read_entry
from anyloom.features.identity import digest_of, identity, weights_digest
from anyloom.features.room import Room
from anyloom.storage.atomic import replacing, write_text

__all__ = ["StoredFeatures", "open_store"]


class StoredFeatures:
    """Features by table and by content of the medium. Picklable; never raises for the state of the disk.

    Args:
        folder: Where they are.
        identities: All that the features of each table depend on besides the media.
        limit: Bytes that the folder may hold.

    >>> import tempfile, torch
    >>> store = StoredFeatures(Path(tempfile.mkdtemp()), {"eye": {"weights": "1"}}, limit=10**6)
    >>> name = store.name(Media("picture", torch.zeros(3)))
    >>> store.put("eye", [name], torch.ones(1, 2))
    >>> store.read("eye", name), store.read("eye", "0" * 64)
    (tensor([1., 1.]), None)
    """

    def __init__(self, folder: Path, identities: Mapping[str, Mapping[str, Any]], *, limit: int) -> None:
        self.folder = folder.absolute()
        self.counts: Counter[str] = Counter()
        self.paused = False
        self._identities = {table: dict(values) for table, values in identities.items()}
        self._places = {table: self.folder / digest_of(values)[:32] for table, values in identities.items()}
        self._room = Room(self.folder, limit)

    def name(self, media: Media) -> str:
        """Name of a medium's content, the same in every process and run."""
        return content_name(media)

    def read(self, table: str, name: str) -> Tensor | None:
        """Features ``(L, D)`` of a medium; None if they are not here, or broken."""
        try:
            return read_entry(self._path(table, name), name)
        except (OSError, BrokenEntryError):
            return None

    def put(self, table: str, names: Sequence[str], features: Tensor) -> None:
        """Write features ``(U, L, D)``. What is there is left, unless it is broken: that is counted and replaced.

        The first time that something cannot be written, a line says so, and nothing is written any more.
        """
        if self.paused:
            return
        try:
            for name, row in dict(zip(names, features.detach().cpu())).items():
                self._put(table, name, row)
        except (OSError, AnyloomError) as error:
            self.paused = True
            tell(f"features are kept no longer, and the run goes on: {error}")

    def _put(self, table: str, name: str, row: Tensor) -> None:
        path = self._path(table, name)
        if path.exists():
            try:
                read_entry(path, name)
                return
            except BrokenEntryError:
                self.counts["broken"] += 1
        place = self._places[table]
        if not (place / "about.json").exists():
            write_text(place / "about.json", json.dumps(self._identities[table], indent=1) + "\n")
        content = as_bytes(name, row)
        self._room.take(len(content))
        with replacing(path, durable=False) as draft:
            draft.write_bytes(content)

    def _path(self, table: str, name: str) -> Path:
        return self._places[table] / name[:2] / f"{name}.safetensors"


def open_store(option: Path | FeatureStoreConfig, tables: Mapping[str, Kept], precision: str) -> StoredFeatures:
    """Return the store that an option asks for; every process calls it if parameters are sharded.

    Args:
        option: The folder, perhaps with a limit.
        tables: What makes the features of each table, with its weights loaded.
        precision: Of the run.
    """
    config = option if isinstance(option, FeatureStoreConfig) else FeatureStoreConfig(folder=option)
    weights: dict[int, str] = {}
    identities: dict[str, dict[str, Any]] = {}
    for table, (component, makes, modality) in tables.items():
        if id(makes) not in weights:
            weights[id(makes)] = weights_digest(makes)
        identities[table] = identity(component, weights[id(makes)], modality, precision)
    return StoredFeatures(config.folder, identities, limit=round(config.max_gb * 1e9))
