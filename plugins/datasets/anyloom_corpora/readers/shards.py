"""LAION-400M and other sets as img2dataset and video2dataset write them: tar archives, folders, or parquet."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Final, Literal

from anyloom.data.sources import Blob, FolderGroups, ParquetRows, TarGroups
from anyloom.data.sources.jsonl import parse_json
from anyloom.errors import BadRecord, ConfigError
from anyloom_corpora.media import MediaFolder, blob_media
from anyloom_corpora.reader import Part, Reader, RecordSource, Rows, Share, require_split, split_by_order
from anyloom_corpora.tables import captions

__all__ = ["GroupedFiles", "Laion", "Shards", "TableCells"]

_EXTENSIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "image": ("jpg", "jpeg", "png", "webp"),
    "audio": ("wav", "flac", "ogg", "mp3", "m4a"),
    "video": ("mp4", "webm", "mkv", "mov"),
}
_MAX_JSON: Final = 16 << 20
_DONE: Final = ("success", "", "None")


class GroupedFiles(RecordSource):
    """Records that are files of one name: media, ``txt`` and ``json``.

    Args:
        rows: Groups of blobs by extension.
        folder: Limits.
        modalities: Media to take.
        caption: Key of the json's caption, where there is no ``txt``.
    """

    def __init__(self, rows: Rows, folder: MediaFolder, modalities: tuple[str, ...], caption: str) -> None:
        super().__init__(rows, folder)
        self.modalities, self.caption = modalities, caption

    def record(self, row: Mapping[str, Any], where: str) -> dict[str, Any]:
        """Return media, caption and what the json says (``info``).

        Raises:
            anyloom.errors.BadRecord: A file of the group is missing, or there is no caption.
        """
        info = self._info(row, where)
        text = row["txt"].text() if "txt" in row else str(info.get(self.caption) or "")
        if not text.strip():
            raise BadRecord("no target", where, "there is no caption")
        record: dict[str, Any] = {"key": str(row["__key__"]), "caption": text.strip(), "info": info}
        for modality in self.modalities:
            blob = next((row[e] for e in _EXTENSIONS[modality] if e in row), None)
            if blob is None:
                raise _failed(info, where, f"there is no {modality}")
            record[modality] = blob_media(blob, modality, where, max_bytes=self.folder.max_bytes)
        return record

    def _info(self, row: Mapping[str, Any], where: str) -> Mapping[str, Any]:
        if "json" not in row:
            return {}
        info = parse_json(row["json"].read(_MAX_JSON), where)
        if not isinstance(info, dict):
            raise BadRecord("bad row", where, "its json is no object")
        return info


class TableCells(RecordSource):
    """Records that are rows of parquet with the media's bytes in a column.

    Args:
        rows: The rows.
        folder: Limits.
        modalities: Media to take.
        caption: Column of the caption, where there is no ``txt``.
    """

    def __init__(self, rows: Rows, folder: MediaFolder, modalities: tuple[str, ...], caption: str) -> None:
        super().__init__(rows, folder)
        self.modalities, self.caption = modalities, caption

    def record(self, row: Mapping[str, Any], where: str) -> dict[str, Any]:
        """Return media and caption; a row whose download failed has none.

        Raises:
            anyloom.errors.BadRecord: The download had failed, or a column is missing.
        """
        if str(row.get("status", "")) not in _DONE:
            raise _failed(row, where, "its download failed")
        column = next((name for name in ("txt", self.caption) if row.get(name)), None)
        if column is None:
            raise BadRecord("no target", where, "there is no caption")
        record: dict[str, Any] = {"key": str(row.get("key") or where), "caption": captions(row, column, where)}
        for modality in self.modalities:
            found = next(((e, row[e]) for e in _EXTENSIONS[modality] if row.get(e)), None)
            extension, content = found or ("", None)
            if isinstance(content, Mapping):  # image and audio columns of the hub
                content = content.get("bytes")
            if not isinstance(content, bytes):
                raise _failed(row, where, f"there is no {modality}")
            blob = Blob(where, name=f"cell.{extension}", data=content)
            record[modality] = blob_media(blob, modality, where, max_bytes=self.folder.max_bytes)
        return record


class Shards(Reader):
    """Media with captions in tar archives (webdataset), folders or parquet, in one piece or with a folder a split.

    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from anyloom_corpora.fixtures.layouts import write_layout
    >>> with TemporaryDirectory() as folder:
    ...     root = write_layout("webvid-tars", Path(folder))  # as `anyloom layouts` does
    ...     data = Shards(Shards.Config(root=root, modalities=["video"]))
    ...     sample = data.build("train")[0]
    ...     sample.task, [getattr(s, "text", "<media>") for m in sample.conversation.messages for s in m.segments]
    ('video-to-text', ['<media>', 'Describe this clip.', 'A square 0 becomes light'])
    """

    natural: ClassVar[Mapping[str, float]] = {}

    class Config(Reader.Config):
        """Options.

        Args:
            layout: ``tar``, ``files`` or ``parquet``; by default what is there, in this order.
            modalities: Media of each record.
            caption: Key of the json, or column, of the caption, where there is no ``txt``.
            shares: Of train, val and test, by order, where the set comes in one piece: folders ``train``, ``val`` and
                ``test`` inside ``root`` go before.
        """

        layout: Literal["tar", "files", "parquet"] | None = None
        modalities: tuple[Literal["image", "audio", "video"], ...] = ("image",)
        caption: str = "caption"
        shares: tuple[Share, Share, Share] = (1.0, 0.0, 0.0)

    config: Config

    def weights(self) -> Mapping[str, float]:
        """Both ways between caption and media."""
        return {name: 1.0 for m in self.config.modalities for name in (f"{m}-to-text", f"text-to-{m}")}

    def source(self, split: str) -> Part:
        """Return the records of a split.

        Raises:
            anyloom.errors.ConfigError: The split does not exist, or nothing of the layout is there.
        """
        require_split(split, "shards")
        root = self.file(split) if (self.config.root / split).is_dir() else self.file("")
        whole = self._whole(root)
        own = root != self.config.root
        stretch = range(len(whole)) if own else split_by_order(len(whole), self.config.shares, split, "shards")
        return Part(whole, stretch)

    def _whole(self, root: Path) -> GroupedFiles | TableCells:
        given = (self.folder, self.config.modalities, self.config.caption)
        tars, tables = sorted(root.glob("*.tar")), sorted(root.rglob("*.parquet"))
        layout = self.config.layout or ("tar" if tars else None)
        if layout is None:
            has_files = any(p.suffix[1:].lower() in _EXTENSIONS[self.config.modalities[0]] for p in root.glob("*/*"))
            layout = "files" if has_files else "parquet" if tables else None
        if layout == "tar" and tars:
            return GroupedFiles(TarGroups(tars), *given)
        if layout == "files":
            return GroupedFiles(FolderGroups(root), *given)
        if layout == "parquet" and tables:
            return TableCells(ParquetRows(tables), *given)
        raise ConfigError(
            f"no {layout or 'tar, media file or parquet'} is here", where=str(root), fix="check 'root' and 'layout'"
        )


class Laion(Shards):
    """LAION-400M as img2dataset writes it: ``00000.tar`` beside ``00000.parquet``, folders, or parquet with bytes.

    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from anyloom_corpora.fixtures.layouts import write_layout
    >>> with TemporaryDirectory() as folder:
    ...     root = write_layout("laion", Path(folder))  # as `anyloom layouts` does
    ...     data = Laion(Laion.Config(root=root))
    ...     sample = data.build("train")[0]
    ...     sample.task, [getattr(s, "text", "<media>") for m in sample.conversation.messages for s in m.segments]
    ('image-to-text', ['<media>', 'Describe this picture.', 'a disc number 000000000'])
    """

    natural: ClassVar[Mapping[str, float]] = {"image-to-text": 1, "text-to-image": 1}


def _failed(row: Mapping[str, Any], where: str, what: str) -> BadRecord:
    """Return what a downloader said of a row whose medium is not there."""
    message = row.get("error_message")
    return BadRecord("missing", where, f"{what} ({message})" if message else what)
