"""A modality: how its media are read, written and shown. A modality is a record plus this class, never an enum."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from anyloom.conversation.segments import Media
from anyloom.interfaces.component import Component

__all__ = ["ModalityIO"]


class ModalityIO(Component):
    """Reads and writes the media of one modality.

    Attributes:
        modality: Name of the modality, as in its record.
        suffixes: File suffixes it reads, lower case with the dot; the first one is what :meth:`write` makes.
    """

    modality: ClassVar[str]
    suffixes: ClassVar[tuple[str, ...]]

    @abstractmethod
    def read(self, path: Path) -> Media:
        """Read one file.

        Raises:
            anyloom.errors.MediaError: The file is missing, broken or of another kind.
        """

    def read_meta(self, path: Path) -> Mapping[str, float]:
        """Read what the tensor of a file will need beside it (:attr:`Media.meta`), for media that load later.

        The default reads the whole file; a modality whose files have a header reads that alone.

        Raises:
            anyloom.errors.MediaError: The file is missing, broken or of another kind.
        """
        return self.read(path).meta

    @abstractmethod
    def write(self, media: Media, path: Path) -> Path:
        """Write one media item; the suffix of ``path`` chooses the format. Returns the path."""

    @abstractmethod
    def to_html(self, media: Media) -> str:
        """Return a self-contained HTML fragment that shows or plays the media (data URIs, no scripts)."""
