"""Shards of a mixture that is written out: samples as records with media files, in a tar archive or in parquet.

A tar archive holds ``000000123.json`` with ``messages``, ``task``, ``id`` and ``provenance``, and the media that it
names, ``000000123.000.png``. A parquet file has the same fields as columns, and one column for each modality, named as
Hugging Face's chat data sets have it (modality + "s"): a list of ``{bytes, path}``, in the order in which the messages'
parts of that modality come.
"""

from __future__ import annotations

import io
import json
import tarfile
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal

import torch

from anyloom.conversation.segments import Media, Segment, Text
from anyloom.discovery import get_registry
from anyloom.errors import CheckpointError, PluginError
from anyloom.media.files import io_for, read_media, write_media
from anyloom.survey.looking import Looked

__all__ = ["SUFFIX", "Format", "media_columns", "write_shard", "written"]

Format = Literal["tar", "parquet"]
SUFFIX: Final[Mapping[Format, str]] = {"tar": ".tar", "parquet": ".parquet"}

_GROUP_ROWS: Final = 100
_GROUP_BYTES: Final = 32 << 20
"""A row group ends after so many rows or bytes: reading one sample reads its whole group."""

_PLAIN: Final = (str, int, float, bool, type(None))


@dataclass(frozen=True)
class _File:
    """A media file of a sample: its name, the modality, and what it holds."""

    name: str
    modality: str
    content: bytes


def media_columns() -> dict[str, str]:
    """Modalities that have a column in every parquet shard -> class of ``datasets.features`` that opens it, or ``""``.

    All that are installed: shards are made one by one, and none knows what the others hold.
    """
    registry = get_registry()
    usable = [spec.name for spec in registry.components("modality") if registry.status(spec) == "ok"]
    return {name: io_for(name).hub_feature for name in usable}


def write_shard(form: Format, draft: Path, samples: Iterable[Looked], columns: Mapping[str, str]) -> None:
    """Write samples into a file; equal samples give equal bytes.

    Args:
        form: Kind of shard.
        draft: The file.
        samples: In their order; read one by one.
        columns: :func:`media_columns` of the plan, for parquet.

    Raises:
        anyloom.errors.PluginError: Parquet is wanted, and pyarrow is not installed.
        anyloom.errors.CheckpointError: A medium is of a modality that has no column.
    """
    _WRITERS[form](draft, samples, columns)


def _write_tar(draft: Path, samples: Iterable[Looked], columns: Mapping[str, str]) -> None:
    del columns
    with tarfile.open(draft, "w") as archive:
        for one in samples:
            record, files = written(one, named=True)
            content = json.dumps(record, ensure_ascii=False).encode()
            members = [(f"{one.position:09d}.json", content), *((f.name, f.content) for f in files)]
            for name, content in members:
                header = tarfile.TarInfo(name)  # no owner and no time: the same shard every time
                header.size = len(content)
                archive.addfile(header, io.BytesIO(content))


def _write_parquet(draft: Path, samples: Iterable[Looked], columns: Mapping[str, str]) -> None:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise PluginError(
            "parquet shards need pyarrow", where=str(draft), fix="pip install 'anyloom[parquet]'"
        ) from error
    schema = _schema(pyarrow, columns)
    rows: list[dict[str, Any]] = []
    held = 0
    # media are compressed already, and no two are equal: neither codec nor dictionary would make them smaller
    with pyarrow.parquet.ParquetWriter(draft, schema, use_dictionary=False, compression="none") as file:
        for one in samples:
            record, files = written(one, named=False)
            rows.append({**record, "provenance": json.dumps(record["provenance"]), **_cells(files, columns, draft)})
            held += sum(len(f.content) for f in files)
            if len(rows) >= _GROUP_ROWS or held >= _GROUP_BYTES:
                file.write_table(pyarrow.Table.from_pylist(rows, schema))
                rows, held = [], 0
        if rows:
            file.write_table(pyarrow.Table.from_pylist(rows, schema))


def _cells(files: Sequence[_File], columns: Mapping[str, str], draft: Path) -> dict[str, list[dict[str, Any]]]:
    cells: dict[str, list[dict[str, Any]]] = {f"{name}s": [] for name in columns}
    for file in files:
        if file.modality not in columns:
            what = f"a medium of {file.modality!r}, for which these shards have no column"
            raise CheckpointError(what, where=str(draft), fix="give another folder")
        cells[f"{file.modality}s"].append({"bytes": file.content, "path": file.name})
    return cells


def _schema(pyarrow: Any, columns: Mapping[str, str]) -> Any:
    """Columns of every shard; ``datasets`` reads from the metadata which of its classes opens a cell."""
    text, number = pyarrow.string(), pyarrow.int64()
    part = pyarrow.struct({"type": text, "text": text, "caption": text, "reference": number})
    cell = pyarrow.struct({"bytes": pyarrow.binary(), "path": text})
    fields = {
        "id": text,
        "task": text,
        "messages": pyarrow.list_(pyarrow.struct({"role": text, "content": pyarrow.list_(part)})),
        "provenance": text,
        **{f"{name}s": pyarrow.list_(cell) for name in columns},
    }
    features = {f"{n}s": {"feature": {"_type": kind}, "_type": "List"} for n, kind in columns.items() if kind}
    return pyarrow.schema(fields, {"huggingface": json.dumps({"info": {"features": features}})})


def written(one: Looked, *, named: bool) -> tuple[dict[str, Any], list[_File]]:
    """The record of a sample, and its media files in their order.

    Args:
        one: The sample.
        named: Whether parts of the record name their files (``path``); otherwise their order tells.
    """
    name = f"{one.position:09d}"
    files: list[_File] = []
    messages = []
    for message in one.sample.conversation.messages:
        parts = [_part(segment, name, files, named) for segment in message.segments]
        messages.append({"role": message.role, "content": parts})
    provenance = {k: v for k, v in one.sample.provenance.items() if _is_plain(v)}
    return {"messages": messages, "task": one.sample.task, "id": one.sample.key, "provenance": provenance}, files


def _part(segment: Segment, name: str, files: list[_File], named: bool) -> dict[str, Any]:
    if isinstance(segment, Text):
        return {"type": "text", "text": segment.text}
    inline = io_for(segment.modality).to_text(segment)
    part: dict[str, Any] = {"type": segment.modality}
    if inline is None:
        suffix, content = _content(segment)
        # one dot before the number: webdataset takes what stands behind a name's first dot as its kind
        file = _File(f"{name}.{len(files):03d}{suffix}", segment.modality, content)
        files.append(file)
        part |= {"path": file.name} if named else {}
    else:
        part["text"] = inline
    part |= {"caption": segment.caption} if segment.caption else {}
    return part if segment.reference is None else {**part, "reference": segment.reference}


def _content(media: Media) -> tuple[str, bytes]:
    """A medium's own file, if it still shows what the medium does; else a new one."""
    path = Path(media.path) if media.path else None
    if path is not None and path.is_file() and torch.equal(read_media(path, media.modality).tensor(), media.tensor()):
        return path.suffix.lower(), path.read_bytes()
    with tempfile.TemporaryDirectory() as made:
        new = write_media(replace(media, path=""), Path(made) / "medium")
        return new.suffix, new.read_bytes()


def _is_plain(value: Any) -> bool:
    return isinstance(value, _PLAIN) or (isinstance(value, list | tuple) and all(isinstance(v, _PLAIN) for v in value))


_WRITERS: Final[Mapping[Format, Callable[[Path, Iterable[Looked], Mapping[str, str]], None]]] = {
    "tar": _write_tar,
    "parquet": _write_parquet,
}
