"""Archives that ``anyloom data build`` has written: conversations with their media in tar files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final

from anyloom.conversation import Conversation, Media, Message, Text
from anyloom.data.sources import Blob, TarGroups
from anyloom.data.sources.jsonl import parse_json
from anyloom.errors import AnyloomError, BadRecord, ConfigError
from anyloom.interfaces import Sample, TaskSamples
from anyloom.media import io_for
from anyloom_corpora.media import blob_media
from anyloom_corpora.reader import Reader, RecordSource, require_split
from anyloom_corpora.tasks.view import RecordTask, View

__all__ = ["Archives", "BuiltRecords"]

_MAX_JSON: Final = 16 << 20


class BuiltRecords(RecordSource):
    """Groups of a record and the media that it names; a record names members of its own group, and nothing else."""

    def record(self, row: Mapping[str, Any], where: str) -> dict[str, Any]:
        """Return a conversation with what was said of it.

        Raises:
            anyloom.errors.BadRecord: There is no record, or it names what is not there.
        """
        if not isinstance(row.get("json"), Blob):
            raise BadRecord("bad row", where, "there is no json")
        value = parse_json(row["json"].read(_MAX_JSON), where)
        messages = value.get("messages") if isinstance(value, dict) else None
        if not isinstance(messages, list) or not messages:
            raise BadRecord("bad row", where, "its json holds no messages")
        try:
            conversation = Conversation([self._message(message, row, where) for message in messages])
        except (KeyError, TypeError, AttributeError) as error:
            raise BadRecord("bad row", where, f"its messages have another form ({error})") from error
        provenance = value.get("provenance")
        return {
            "key": str(value.get("id") or row["__key__"]),
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
        if "path" not in part:
            return io_for(kind).from_text(part["text"])
        key = str(row["__key__"])
        blob = row.get(str(part["path"]).removeprefix(f"{key}.").lower())
        if not isinstance(blob, Blob) or not str(part["path"]).startswith(f"{key}."):
            raise BadRecord("missing", where, f"{part['path']} is not in the archive")
        media = blob_media(blob, kind, where, max_bytes=self.folder.max_bytes)
        return Media(
            kind,
            loader=media.loader,
            key=f"{where}/{part['path']}",
            meta=media.meta,
            reference=part.get("reference"),
            caption=str(part.get("caption") or ""),
        )


def as_built(view: View) -> Sample:
    """The sample as it was when it was built."""
    sample = view.conversation(view.record["conversation"])
    # names in a stranger's record are no arguments, and do not take the place of where it comes from
    provenance = {**view.record["facts"], **sample.provenance}
    return Sample(sample.conversation, view.record["task"], provenance, view.key)


_BUILT: Final = RecordTask("built", as_built, ("conversation",))


class Archives(Reader):
    """Archives of ``anyloom data build``: ``<split>-NNNNNN.tar`` in ``root``."""

    natural: ClassVar[Mapping[str, float]] = {}

    def source(self, split: str) -> BuiltRecords:
        """Return the records of a split.

        Raises:
            anyloom.errors.ConfigError: The split does not exist, or there is no archive of it.
        """
        require_split(split, "archives")
        found = sorted(self.config.root.glob(f"{split}-*.tar"))
        if not found:
            fix = f"run 'anyloom data build --split {split}'"
            raise ConfigError(f"there are no archives of {split!r}", where=str(self.config.root), fix=fix)
        return BuiltRecords(TarGroups(found), self.folder)

    def build(self, split: str, epoch: int = 0) -> TaskSamples:
        """Return the samples that were built.

        Raises:
            anyloom.errors.ConfigError: The split does not exist, there is no archive of it, or tasks are given.
        """
        del epoch
        if self.config.tasks:
            raise ConfigError("samples are as they were built", where="archives.tasks", fix="leave it out")
        return TaskSamples(self.source(split), _BUILT)
