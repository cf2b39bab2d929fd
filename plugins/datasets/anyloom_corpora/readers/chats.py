"""Conversations in the forms that people have them in: the data set ``chats``.

A row is told by its keys:

* ``messages`` (LLaMA-Factory, ms-swift, OpenAI, Hugging Face): ``content`` is text with ``<image>``, ``<audio>`` and
  ``<video>`` in it, whose files are ``images``, ``audios`` and ``videos`` of the row; or a list of parts.
* ``conversations`` with ``from`` and ``value`` (ShareGPT); with ``input_image``, ``output_image`` and so on (NExT-GPT),
  a person's placeholders stand for what goes in, the model's for what comes out.
* ``instruction``, ``input_images`` and ``output_image`` (OmniGen2).

Nothing is fetched: an address that is no data URL is a bad row.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Final, Literal

from anyloom.conversation import Conversation, Media, Message
from anyloom.data.sources import Blob
from anyloom.errors import BadRecord, ConfigError
from anyloom_corpora.media import blob_media, of_base64
from anyloom_corpora.reader import SPLITS, Reader, RecordSource, require_split
from anyloom_corpora.tables import cell, table

__all__ = ["ChatSource", "Chats"]

Role = Literal["system", "user", "assistant"]

_ROLES: Final[Mapping[str, Role]] = {
    "system": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
}
_MODALITIES: Final = ("image", "audio", "video")
_SLOT: Final = re.compile(r"<(image|audio|video)>")
_DATA_URL: Final = re.compile(r"data:(?:(\w+)/[\w.+-]+)?((?:;[\w.+-]+=[\w.+-]+)*);base64,(.*)", re.DOTALL)


class ChatSource(RecordSource):
    """Rows of any of the forms."""

    def record(self, row: Mapping[str, Any], where: str) -> dict[str, Any]:
        """Return the conversation of a row; of an OmniGen2 row with one picture also the edit.

        Raises:
            anyloom.errors.BadRecord: The row is of no known form, its placeholders and files do not match, a file is
                missing or would have to be fetched, or nothing is answered.
        """
        key = {"key": str(row["id"])} if isinstance(row.get("id"), (str, int)) else {}
        if "messages" in row:
            return {**key, "conversation": self._messages(row, where)}
        if "conversations" in row:
            return {**key, "conversation": self._turns(row, where)}
        if "output_image" in row and "instruction" in row:
            return {**key, **self._omnigen(row, where)}
        raise BadRecord("bad row", where, f"no known form; its keys are {', '.join(map(str, row))}")

    def _messages(self, row: Mapping[str, Any], where: str) -> Conversation:
        files = _Files(self, {m: _listed(row.get(f"{m}s"), f"{m}s", where) for m in _MODALITIES}, where)
        messages = [Message("system", _text(row["system"], where))] if row.get("system") else []
        for entry in _listed(row["messages"], "messages", where):
            if not isinstance(entry, Mapping):
                raise BadRecord("bad row", where, f"a message is an object, got {entry!r}")
            role = _role(entry.get("role"), where)
            messages.append(Message(role, list(self._content(entry.get("content"), files, where))))
        files.all_used()
        return _answered(messages, where)

    def _content(self, content: Any, files: _Files, where: str) -> Iterator[str | Media]:
        if isinstance(content, str):
            yield from _filled(content, files.next)
            return
        for part in _listed(content, "content", where):
            kind = part.get("type") if isinstance(part, Mapping) else None
            if kind == "text":
                # text of a part is text: what looks like a placeholder in it is none
                yield _text(part.get("text"), where)
            elif kind in ("image_url", "input_audio"):
                yield self._of_openai(part, where)
            elif kind in _MODALITIES:
                name = next((part[k] for k in ("path", kind, "url") if part.get(k)), None)
                yield files.next(kind) if name is None else self.medium(name, kind, where)
            else:
                raise BadRecord("bad row", where, f"no part that is known: {str(part)[:80]}")

    def _of_openai(self, part: Mapping[str, Any], where: str) -> Media:
        value = part.get(part["type"])
        if part["type"] == "image_url":
            return self.medium(value.get("url") if isinstance(value, Mapping) else value, "image", where)
        if not isinstance(value, Mapping) or not isinstance(value.get("data"), str):
            raise BadRecord("bad row", where, "input_audio needs data")
        suffix = f".{value.get('format') or 'wav'}"
        return of_base64(value["data"], "audio", where, suffix=suffix, max_bytes=self.folder.max_bytes)

    def _turns(self, row: Mapping[str, Any], where: str) -> Conversation:
        ways = any(f"{way}_{m}" in row for way in ("input", "output") for m in _MODALITIES)
        given = {
            way: _Files(self, {m: _listed(row.get(f"{way}_{m}"), f"{way}_{m}", where) for m in _MODALITIES}, where)
            for way in ("input", "output")
        }
        both = _Files(self, {m: _listed(row.get(f"{m}s"), f"{m}s", where) for m in _MODALITIES}, where)
        messages = [Message("system", _text(row["system"], where))] if row.get("system") else []
        for entry in _listed(row["conversations"], "conversations", where):
            if not isinstance(entry, Mapping):
                raise BadRecord("bad row", where, f"a turn is an object, got {entry!r}")
            role = _role(entry.get("from"), where)
            files = given["output" if role == "assistant" else "input"] if ways else both
            messages.append(Message(role, list(_filled(_text(entry.get("value"), where), files.next))))
        for files in (*given.values(), both):
            files.all_used()
        return _answered(messages, where)

    def _omnigen(self, row: Mapping[str, Any], where: str) -> dict[str, Any]:
        inputs = [self.medium(name, "image", where) for name in _listed(row.get("input_images"), "input_images", where)]
        if not row.get("output_image"):
            raise BadRecord("no target", where, "there is no output_image")
        output = self.medium(row["output_image"], "image", where)
        instruction = cell(row, "instruction", where)
        conversation = Conversation([Message("user", [*inputs, instruction]), Message("assistant", [output])])
        record = {"conversation": conversation, "task_type": str(row.get("task_type") or "")}
        if len(inputs) == 1:
            return {**record, "before": inputs[0], "edit": instruction, "after": output}
        return record if inputs else {**record, "image": output, "caption": instruction}

    def medium(self, value: Any, modality: str, where: str) -> Media:
        """Return the media item that a row names: a file, a data URL, or the cell of a table.

        Raises:
            anyloom.errors.BadRecord: It is missing, would have to be fetched, or is of no known form.
        """
        if isinstance(value, Mapping):
            if isinstance(value.get("bytes"), bytes):
                name = str(value.get("path") or "")
                blob = Blob(where, name=name, data=value["bytes"])
                return blob_media(blob, modality, where, max_bytes=self.folder.max_bytes)
            value = value.get("path")
        if not isinstance(value, str):
            raise BadRecord("bad row", where, f"no {modality}: {value!r}")
        if value.startswith("data:"):
            return self._of_data_url(value, modality, where)
        if "://" in value:
            raise BadRecord("bad row", where, f"{value[:80]!r} is an address; addresses are not fetched")
        return self.folder.media(value, modality, where)

    def _of_data_url(self, url: str, modality: str, where: str) -> Media:
        match = _DATA_URL.fullmatch(url)
        if match is None:
            raise BadRecord("wrong format", where, "a data URL must be base64")
        if match.group(1) not in (None, "application", modality):
            raise BadRecord("wrong format", where, f"a data URL of {match.group(1)} where {modality} is expected")
        return of_base64(match.group(3), modality, where, max_bytes=self.folder.max_bytes)


class _Files:
    """The files of a row, given out one after another in the order of placeholders."""

    def __init__(self, source: ChatSource, names: Mapping[str, Sequence[Any]], where: str) -> None:
        self.source, self.names, self.where = source, names, where
        self.given = dict.fromkeys(names, 0)

    def next(self, modality: str) -> Media:
        at, names = self.given[modality], self.names[modality]
        if at >= len(names):
            what = f"more <{modality}> than {modality} files ({len(names)})"
            raise BadRecord("mismatched placeholders", self.where, what)
        self.given[modality] = at + 1
        return self.source.medium(names[at], modality, self.where)

    def all_used(self) -> None:
        for modality, names in self.names.items():
            if self.given[modality] != len(names):
                what = f"{len(names)} {modality} files, {self.given[modality]} <{modality}>"
                raise BadRecord("mismatched placeholders", self.where, what)


class Chats(Reader):
    """Conversations one already has: jsonl, json or parquet in the common forms.

    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from anyloom_corpora.fixtures.layouts import write_layout
    >>> with TemporaryDirectory() as folder:
    ...     root = write_layout("chats", Path(folder))  # as `anyloom layouts` does
    ...     data = Chats(Chats.Config(root=root, train="llama_factory.json"))
    ...     sample = data.build("train")[0]
    ...     sample.task, [getattr(s, "text", "<media>") for m in sample.conversation.messages for s in m.segments]
    ('conversation', ['<media>', 'What is it?', 'A disc.'])
    """

    natural: ClassVar[Mapping[str, float]] = {"conversation": 1}

    class Config(Reader.Config):
        """Options.

        Args:
            train: Table of the training split, inside ``root``.
            val: Table of the validation split.
            test: Table of the test split.
        """

        train: str | None = None
        val: str | None = None
        test: str | None = None

    config: Config

    def source(self, split: str) -> ChatSource:
        """Return the rows of a split's table.

        Raises:
            anyloom.errors.ConfigError: The split has no table, or it is not there.
        """
        require_split(split, "chats")
        name: str | None = getattr(self.config, split)
        if name is None:
            given = [s for s in SPLITS if getattr(self.config, s)]
            raise ConfigError(f"no table is given for the split {split!r}", where=split, fix=f"given: {given}")
        return ChatSource(table(self.file(name)), self.folder)


def _filled(text: str, medium: Callable[[str], Media]) -> Iterator[str | Media]:
    """Put media in place of placeholders."""
    at = 0
    for match in _SLOT.finditer(text):
        if match.start() > at:
            yield text[at : match.start()]
        yield medium(match.group(1))
        at = match.end()
    if at < len(text):
        yield text[at:]


def _answered(messages: list[Message], where: str) -> Conversation:
    if not messages or messages[-1].role != "assistant" or not messages[-1].segments:
        raise BadRecord("no target", where, "it does not end with an answer")
    return Conversation(messages)


def _role(value: Any, where: str) -> Role:
    if not isinstance(value, str) or value not in _ROLES:
        raise BadRecord("bad row", where, f"no role that is known: {value!r}")
    return _ROLES[value]


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise BadRecord("bad row", where, f"text is expected, got {str(value)[:80]!r}")
    return value


def _listed(value: Any, name: str, where: str) -> Sequence[Any]:
    """Return a list; one thing alone counts as a list of one, nothing as an empty one."""
    if value is None or value == "":
        return ()
    if isinstance(value, (list, tuple)):
        return value
    if isinstance(value, (str, Mapping)) and name not in ("messages", "conversations", "content"):
        return (value,)
    raise BadRecord("bad row", where, f"{name} must be a list, got {str(value)[:80]!r}")
