"""A modality: how its media are read, written and shown. A modality is a record plus this class, never an enum."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from anyloom.conversation.segments import Media
from anyloom.errors import MediaError
from anyloom.interfaces.component import Component

__all__ = ["ModalityIO"]


class ModalityIO(Component):
    """Reads and writes the media of one modality.

    What its ``Config`` holds are limits, checked before memory is taken: a file may come from anybody.

    Attributes:
        modality: Name of the modality, as in its record.
        suffixes: File suffixes it writes, lower case with the dot; the first one is what is written by default. Those
            it reads stand in its record.
        hub_feature: Class of ``datasets.features`` that opens its files in a column of parquet; ``""`` if none does.
    """

    modality: ClassVar[str]
    suffixes: ClassVar[tuple[str, ...]]
    hub_feature: ClassVar[str] = ""

    @abstractmethod
    def read(self, path: Path) -> Media:
        """Read one file.

        Raises:
            anyloom.errors.MediaError: The file is missing, broken, beyond a limit or of another kind.
        """

    def read_meta(self, path: Path) -> Mapping[str, float]:
        """Read what the tensor of a file will need beside it (:attr:`Media.meta`), for media that load later.

        The default reads the whole file; a modality whose files have a header reads that alone.

        Raises:
            anyloom.errors.MediaError: The file is missing, broken or of another kind.
        """
        return self.read(path).meta

    def length(self, path: Path) -> int:
        """Return the steps of the first axis of a file's tensor (frames of a clip). The default reads the whole file.

        Raises:
            anyloom.errors.MediaError: The file is missing, broken or of another kind.
        """
        return len(self.read(path).tensor())

    def sample(self, path: Path, steps: Sequence[int] | None, side: int | None) -> Tensor:
        """Return a part ``(steps, ...)`` of a file's tensor. The default reads the whole file and ignores ``side``.

        Args:
            path: The file.
            steps: Which steps of the first axis, in the order wanted; None for all.
            side: Pixels of the shorter side that are enough: what is read may be smaller than the file's, not smaller
                than this.

        Raises:
            anyloom.errors.MediaError: The file is missing, broken or of another kind, or has no such step.
        """
        del side
        data = self.read(path).tensor()
        return data if steps is None else data[torch.as_tensor(steps, dtype=torch.long)]

    def from_text(self, text: str) -> Media:
        """Return what a part ``{"type": <modality>, "text": ...}`` of a conversation's JSON stands for.

        Only for modalities whose media are short texts themselves; the default refuses.

        Raises:
            anyloom.errors.MediaError: The modality's media are files, or the text is none of its media.
        """
        del text
        raise MediaError(f"a {self.modality} is a file", where=self.modality, fix='give {"type": ..., "path": ...}')

    def to_text(self, media: Media) -> str | None:
        """Return the text that :meth:`from_text` makes the same media of, None where media need a file (the default).

        Raises:
            anyloom.errors.MediaError: The media are none of this modality.
        """
        del media
        return None

    def from_pillow(self, picture: Any) -> Media:
        """Return a picture of Pillow's as media; only for modalities whose media are pictures, the default refuses.

        Raises:
            anyloom.errors.MediaError: The modality's media are no pictures, or this is none.
        """
        del picture
        raise MediaError(f"{self.modality} is made of no picture", where="Media.from_pil", fix="name another modality")

    def to_pillow(self, media: Media) -> Any:
        """Return media as a picture of Pillow's; only for modalities whose media are pictures, the default refuses.

        Raises:
            anyloom.errors.MediaError: The modality's media are no pictures, or these are none.
        """
        del media
        raise MediaError(f"{self.modality} is no picture", where="Media.pil", fix="take its tensor")

    def to_board(self, media: Media, board: Any, name: str, step: int) -> None:
        """Show media in a board of training curves; the default shows nothing.

        Args:
            media: One media item.
            board: What has the methods of ``torch.utils.tensorboard.SummaryWriter``.
            name: What it is called there.
            step: Step of the run.
        """

    @abstractmethod
    def write(self, media: Media, path: Path) -> Path:
        """Write one media item; the suffix of ``path`` chooses the format. Returns the path.

        A format that has a place for text keeps :attr:`Media.note`.
        """

    def note(self, path: Path) -> str:
        """Return what :attr:`Media.note` was when a file was written; empty if it keeps none (the default).

        It comes out of a file, so anybody may have written it. Of a broken file it is empty too.

        Raises:
            anyloom.errors.MediaError: The file is missing.
        """
        del path
        return ""

    @abstractmethod
    def to_html(self, media: Media) -> str:
        """Return a self-contained HTML fragment that shows or plays the media (data URIs, no scripts)."""
