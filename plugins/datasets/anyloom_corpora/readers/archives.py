"""What ``anyloom data build`` has written: conversations with their media in tar files or parquet."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Final

from anyloom.conversation import Conversation, Media, Message, Text
from anyloom.data.sources import Blob, ParquetRows, TarGroups
from anyloom.data.sources.jsonl import parse_json
from anyloom.errors import AnyloomError, BadRecord, ConfigError
from anyloom.interfaces import Sample, TaskSamples
from anyloom.media import io_for
from anyloom_corpora.media import blob_media
from anyloom_corpora.reader import Reader, RecordSource, require_split
from anyloom_corpora.tasks.view import RecordTask, View

__all__ = ["Archives", "BuiltRecords", "BuiltRows"]

_MAX_JSON: Final = 16 << 20


class _BuiltSource(RecordSource):
    """Conversations with what was said of them, from records of either form."""

    def _record(self, value: Any, key: str, row: Mapping[str, Any], where: str) -> dict[str, Any]:
        messages = value.get("messages") if isinstance(value, dict) else None
        if not isinstance(messages, list) or not messages:
            raise BadRecord("bad row", where, "its json holds no messages")
        try:
            conversation = Conversation([self._message(message, row, where) for message in messages])
        except (KeyError, TypeError, AttributeError) as error:
            raise BadRecord("bad row", where, f"its messages have another form ({error})") from error
        provenance = value.get("provenance")
        return {
            "key": str(value.get("id") or key),
            "conversation": conversation,
            "task": str(value.get("task") or "chat"),
            "facts": provenance if isinstance(provenance, dict) else {},
        }

    def _message(self, message: Mapping[str, Any], row: Mapping[str, Any], where: str) -> Message:
        try:
            return Message(message["role"], [self._part(part, row, where) for part in message["content"]])
        except AnyloomError as error:
            raise error if isinstance(error, BadRecord) else BadRecord("bad row", where, error.what) from error

    def _part(self, part: Mapping[str, Any], row: Mapping[str, Any], where: str) -> Text | Media:
        kind = part["type"]
        if kind == "text":
            return Text(part["text"])
        blob = self._blob(part, row, where)
        if blob is None:
            return io_for(kind).from_text(part["text"])
        media = blob_media(blob, kind, where, max_bytes=self.folder.max_bytes)
        return Media(
            kind,
            loader=media.loader,
            key=f"{where}/{blob.name}",
            meta=media.meta,
            reference=part.get("reference"),
            caption=str(part.get("caption") or ""),
        )

    @abstractmethod
    def _blob(self, part: Mapping[str, Any], row: Mapping[str, Any], where: str) -> Blob | None:
        """The file of a part; None if it is a short text itself."""


class BuiltRecords(_BuiltSource):
    """Groups of a record and the media that it names; a record names members of its own group, and nothing else."""

    def record(self, row: Mapping[str, Any], where: str) -> dict[str, Any]:
        """Return a conversation with what was said of it.

        Raises:
            anyloom.errors.BadRecord: There is no record, or it names what is not there.
        """
        if not isinstance(row.get("json"), Blob):
            raise BadRecord("bad row", where, "there is no json")
        return self._record(parse_json(row["json"].read(_MAX_JSON), where), str(row["__key__"]), row, where)

    def _blob(self, part: Mapping[str, Any], row: Mapping[str, Any], where: str) -> Blob | None:
        if "path" not in part:
            return None
        key = str(row["__key__"])
        blob = row.get(str(part["path"]).removeprefix(f"{key}.").lower())
        if not isinstance(blob, Blob) or not str(part["path"]).startswith(f"{key}."):
            raise BadRecord("missing", where, f"{part['path']} is not in the archive")
        return blob


class BuiltRows(_BuiltSource):
    """Rows with a column of media for each modality, in the order in which the parts of the messages come."""

    def record(self, row: Mapping[str, Any], where: str) -> dict[str, Any]:
        """Return a conversation with what was said of it.

        Raises:
            anyloom.errors.BadRecord: A column is missing or of another kind, or media and parts do not match.
        """
        facts = row.get("provenance")
        value = {**row, "provenance": parse_json(facts.encode(), where) if isinstance(facts, str) else None}
        listed = {name: cells for name, cells in row.items() if name.endswith("s") and isinstance(cells, list)}
        left = {name: iter(cells) for name, cells in listed.items() if name != "messages"}
        record = self._record(value, where, left, where)
        if any(next(cells, None) is not None for cells in left.values()):
            raise BadRecord("mismatched placeholders", where, "more media than parts of the messages")
        return record

    def _blob(self, part: Mapping[str, Any], row: Mapping[str, Iterator[Any]], where: str) -> Blob | None:
        if part.get("text") is not None:
            return None
        kind = str(part["type"])
        cell = next(row.get(f"{kind}s", iter(())), None)
        if not isinstance(cell, Mapping) or not isinstance(cell.get("bytes"), bytes):
            raise BadRecord("mismatched placeholders", where, f"more parts of {kind!r} than its column has")
        return Blob(where, name=str(cell.get("path") or ""), data=cell["bytes"])


def as_built(view: View) -> Sample:
    """The sample as it was when it was built."""
    sample = view.conversation(view.record["conversation"])
    # names in a stranger's record are no arguments, and do not take the place of where it comes from
    provenance = {**view.record["facts"], **sample.provenance}
    return Sample(sample.conversation, view.record["task"], provenance, view.key)


_BUILT: Final = RecordTask("built", as_built, ("conversation",))


class Archives(Reader):
    """What ``anyloom data build`` wrote: ``<split>-NNNNNN.tar`` or ``.parquet`` in ``root``.

    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from anyloom.survey.build import Plan, build
    >>> from anyloom_corpora.fixtures.layouts import write_layout
    >>> with TemporaryDirectory() as folder:
    ...     raw = {"name": "instruct-pix2pix", "root": str(write_layout("instruct-pix2pix", Path(folder, "raw")))}
    ...     data = {"datasets": {"edits": {**raw, "shares": [1, 0, 0], "tasks": {"image-edit": 1}}}}
    ...     _ = build(Plan(data, "train", 4, 2), Path(folder, "built"))  # as `anyloom data build` does
    ...     samples = Archives(Archives.Config(root=Path(folder, "built"))).build("train")
    ...     len(samples), samples[0].task
    (4, 'image-edit')
    """

    natural: ClassVar[Mapping[str, float]] = {}

    def source(self, split: str) -> BuiltRecords | BuiltRows:
        """Return the records of a split.

        Raises:
            anyloom.errors.ConfigError: The split does not exist, there is no archive of it, or there are both.
        """
        require_split(split, "archives")
        tars, tables = (sorted(self.config.root.glob(f"{split}-*.{kind}")) for kind in ("tar", "parquet"))
        if tars and tables:
            what = f"there are tar files and parquet files of {split!r}"
            raise ConfigError(what, where=str(self.config.root), fix="keep one kind in a folder")
        if tables:
            return BuiltRows(ParquetRows(tables), self.folder)
        if not tars:
            fix = f"run 'anyloom data build --split {split}'"
            raise ConfigError(f"there are no archives of {split!r}", where=str(self.config.root), fix=fix)
        return BuiltRecords(TarGroups(tars), self.folder)

    def build(self, split: str, epoch: int = 0) -> TaskSamples:
        """Return the samples that were built.

        Raises:
            anyloom.errors.ConfigError: The split does not exist, there is no archive of it, or tasks are given.
        """
        del epoch
        if self.config.tasks:
            raise ConfigError("samples are as they were built", where="archives.tasks", fix="leave it out")
        return TaskSamples(self.source(split), _BUILT)
