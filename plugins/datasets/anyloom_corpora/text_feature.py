"""The modality ``text-feature``: a piece of text that stands in a conversation as features of the text encoder."""

from __future__ import annotations

import html
from pathlib import Path
from typing import ClassVar, Final

import torch

from anyloom.conversation import Media
from anyloom.errors import MediaError
from anyloom.interfaces import ModalityIO

__all__ = ["TextFeatureIO", "text_feature", "text_of"]

LIMIT: Final = 100_000
"""Bytes of the longest text that is read."""


def text_feature(text: str) -> Media:
    """Return a text as a media item: its UTF-8 bytes ``(T,)``, uint8.

    >>> text_feature("two bees").tensor().shape
    torch.Size([8])
    """
    content = bytearray(text.encode())
    if not content:
        raise MediaError("the text is empty", where="text-feature", fix="give a word or more")
    return Media("text-feature", torch.frombuffer(content, dtype=torch.uint8), key=f"text-feature:{text}")


def text_of(media: Media) -> str:
    """Return the text of a media item.

    Raises:
        anyloom.errors.MediaError: It holds no UTF-8 bytes.

    >>> text_of(text_feature("über"))
    'über'
    """
    data = media.tensor()
    if data.dtype != torch.uint8 or data.ndim != 1 or not len(data):
        raise MediaError(f"expected bytes (T,), got {data.dtype} {tuple(data.shape)}", where=media.path or media.key)
    try:
        return bytes(data.tolist()).decode()
    except UnicodeDecodeError as error:
        raise MediaError(f"no UTF-8 text ({error})", where=media.path or media.key) from error


class TextFeatureIO(ModalityIO):
    """Reads and writes texts that an encoder sees and the tokenizer does not.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = TextFeatureIO.from_options().write(text_feature("a bee"), Path(folder, "bee.txt"))
    ...     text_of(TextFeatureIO.from_options().read(path))
    'a bee'
    """

    modality: ClassVar[str] = "text-feature"
    suffixes: ClassVar[tuple[str, ...]] = (".txt",)

    def read(self, path: Path) -> Media:
        """Read a text file, at most 100,000 bytes of UTF-8, as bytes ``(T,)``, uint8.

        Raises:
            anyloom.errors.MediaError: The file is missing, empty, too large or no UTF-8.
        """
        if not path.is_file():
            raise MediaError("there is no such file", where=str(path), fix="check the path")
        if path.stat().st_size == 0:
            raise MediaError("the file is empty", where=str(path), fix="fetch or write it again")
        if path.stat().st_size > LIMIT:
            raise MediaError(f"more than {LIMIT} bytes", where=str(path), fix="give a phrase, not a book")
        try:
            media = text_feature(path.read_text(encoding="utf-8"))
        except UnicodeDecodeError as error:
            raise MediaError(f"no UTF-8 text ({error})", where=str(path)) from error
        return Media("text-feature", media.tensor(), path=str(path), key=media.key)

    def from_text(self, text: str) -> Media:
        """Return a text, its bytes ``(T,)``, uint8.

        Raises:
            anyloom.errors.MediaError: It is empty.
        """
        return text_feature(text)

    def to_text(self, media: Media) -> str:
        """Return the text, which needs no file.

        Raises:
            anyloom.errors.MediaError: The tensor holds no text.
        """
        return text_of(media)

    def write(self, media: Media, path: Path) -> Path:
        """Write the text as UTF-8.

        Raises:
            anyloom.errors.MediaError: The tensor holds no text, or the suffix is another than ``.txt``.
        """
        if path.suffix.lower() not in self.suffixes:
            raise MediaError(f"cannot write text to {path.suffix!r} files", where=str(path), fix="use .txt")
        path.write_text(text_of(media), encoding="utf-8")
        return path

    def to_html(self, media: Media) -> str:
        """Return the text in a box."""
        return f"<mark>{html.escape(text_of(media))}</mark>"
