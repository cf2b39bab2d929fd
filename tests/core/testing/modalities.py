"""One modality that does all it must, and others that each get one thing wrong."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import torch

from anyloom.conversation import Media
from anyloom.errors import MediaError
from anyloom.interfaces import ModalityIO

__all__ = ["BROKEN", "Whole"]


class Whole(ModalityIO):
    """Scans as JSON files."""

    modality: ClassVar[str] = "scan"
    suffixes: ClassVar[tuple[str, ...]] = (".scan",)

    def read(self, path: Path) -> Media:
        """Read a scan ``(T,)``, float32."""
        try:
            value = json.loads(path.read_text())
            return Media(self.modality, torch.tensor(value["data"]), meta=value["meta"], path=str(path))
        except (OSError, ValueError) as error:
            raise MediaError(f"this is no scan ({error})", where=str(path)) from error

    def write(self, media: Media, path: Path) -> Path:
        """Write a scan."""
        path.write_text(json.dumps({"data": media.tensor().tolist(), "meta": dict(media.meta)}))
        return path

    def to_html(self, media: Media) -> str:
        """A list of numbers."""
        return f"<code>{media.tensor().tolist()}</code>"


class Loud(Whole):
    """Has a suffix in capitals."""

    suffixes: ClassVar[tuple[str, ...]] = (".SCAN",)


class Stranger(Whole):
    """Reads media of another modality than it writes."""

    def read(self, path: Path) -> Media:
        """Read a scan ``(T,)``."""
        return Media("other", super().read(path).tensor(), meta=super().read(path).meta)


class Doubles(Whole):
    """Reads another scale than it writes."""

    def read(self, path: Path) -> Media:
        """Read a scan ``(T,)``."""
        media = super().read(path)
        return Media(self.modality, media.tensor() * 2, meta=media.meta)


class LosesMeta(Whole):
    """Forgets the rate."""

    def write(self, media: Media, path: Path) -> Path:
        """Write a scan."""
        return super().write(Media(self.modality, media.tensor()), path)


class WrongHeader(Whole):
    """Reads a header that says nothing."""

    def read_meta(self, path: Path) -> Mapping[str, float]:
        """Nothing."""
        return {}


class Raw(Whole):
    """Lets other people's errors through."""

    def read(self, path: Path) -> Media:
        """Read a scan ``(T,)``."""
        try:
            return super().read(path)
        except MediaError as error:
            raise ValueError("bad JSON") from error


class Scripted(Whole):
    """Shows media with a script from elsewhere."""

    def to_html(self, media: Media) -> str:
        """A viewer."""
        return "<script src='https://example.org/viewer.js'></script>"


BROKEN: dict[type[Whole], str] = {
    Loud: "declares_name_and_suffixes",
    Stranger: "written_media_are_read_again",
    Doubles: "written_media_are_read_again",
    LosesMeta: "written_media_are_read_again",
    WrongHeader: "header_says_what_the_file_says",
    Raw: "broken_files_are_refused",
    Scripted: "html_is_self_contained",
}
