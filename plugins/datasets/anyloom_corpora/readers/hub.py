"""A data set of the Hugging Face hub, streamed: the data set ``hf``. Only where a download is allowed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from pydantic import Field

from anyloom.data.sources import Blob
from anyloom.errors import BadRecord, ConfigError, PluginError
from anyloom.interfaces import ComponentConfig, DatasetBuilder, Record, Sample
from anyloom_corpora.media import MAX_BYTES, blob_media
from anyloom_corpora.tasks.choice import OneOf, Weights, one_of

__all__ = ["HubSet", "HubStream"]

Kind = Literal["text", "image", "audio", "video"]


@dataclass(frozen=True)
class _One:
    """A source of the record at hand; tasks that need other records find none."""

    record: Record

    @property
    def shards(self) -> Sequence[range]:
        return [range(1)]

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> Record:
        return self.record


class HubStream:
    """Samples of a streamed data set, one after another, with a place that can be kept and gone back to.

    Args:
        rows: ``datasets.IterableDataset`` with undecoded media.
        fields: Field of the record -> column and kind.
        task: What is made of each row.
        name: What the data set is called, for errors.
        max_bytes: Largest media item, in bytes.
    """

    def __init__(
        self, rows: Any, fields: Mapping[str, tuple[str, Kind]], task: OneOf, name: str, max_bytes: int
    ) -> None:
        self.rows, self.fields, self.task, self.name, self.max_bytes = rows, dict(fields), task, name, max_bytes
        self.place = 0

    def __iter__(self) -> Iterator[Sample]:
        return _Rows(self, iter(self.rows))

    def state_dict(self) -> dict[str, Any]:
        """Return the place of the row that comes next."""
        return {"place": self.place, "rows": self.rows.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on at a place that :meth:`state_dict` returned."""
        self.place = state["place"]
        self.rows.load_state_dict(state["rows"])

    def sample(self, row: Mapping[str, Any], place: int) -> Sample:
        """Return the sample of a row.

        Raises:
            anyloom.errors.BadRecord: A column is missing or empty, a medium is damaged, or the task needs more.
        """
        where = f"{self.name}:{place}"
        record: dict[str, Any] = {"key": str(place), "where": where}
        for field, (column, kind) in self.fields.items():
            record[field] = self._value(row.get(column), column, kind, where)
        return self.task(_One(record), 0, place)

    def _value(self, value: Any, column: str, kind: Kind, where: str) -> Any:
        if value is None:
            raise BadRecord("bad row", where, f"there is no {column}")
        if kind == "text":
            return value if isinstance(value, list) else str(value)
        content = value.get("bytes") if isinstance(value, Mapping) else value
        if not isinstance(content, bytes):
            raise BadRecord("missing", where, f"{column} holds no {kind}")
        name = str(value.get("path") or "") if isinstance(value, Mapping) else ""
        return blob_media(Blob(where, name=name, data=content), kind, where, max_bytes=self.max_bytes)


class _Rows:
    """Goes on behind a bad row, which a generator could not."""

    def __init__(self, stream: HubStream, rows: Iterator[Mapping[str, Any]]) -> None:
        self.stream, self.rows = stream, rows

    def __iter__(self) -> _Rows:
        return self

    def __next__(self) -> Sample:
        row = next(self.rows)
        place = self.stream.place
        self.stream.place += 1
        return self.stream.sample(row, place)


class HubSet(DatasetBuilder):
    """A data set of the hub by name, or files in a layout that the ``datasets`` package reads, streamed in order.

    It has no random access: its tasks see one row at a time, and a run resumes with as many ranks as before.

    >>> HubSet.Config(
    ...     path="timbrooks/instructpix2pix-clip-filtered",
    ...     text={"edit": "edit_prompt"},
    ...     image={"before": "original_image", "after": "edited_image"},
    ...     tasks={"image-edit": 1},
    ...     download=True,  # nothing is fetched before a split is built
    ... ).splits
    {'train': 'train'}
    """

    modalities: ClassVar[tuple[str, ...]] = ("image", "audio", "video")

    class Config(ComponentConfig):
        """Options.

        Args:
            path: Name on the hub, or a builder of the ``datasets`` package such as ``parquet`` with ``data_files``.
            subset: Its configuration.
            data_files: Files, where ``path`` is a builder.
            splits: Split here -> split there.
            text: Field of the record -> column, for texts.
            image: The same for pictures.
            audio: The same for sounds.
            video: The same for clips.
            tasks: How often each task is drawn, relative to the others.
            download: Must be true: nothing is fetched unless it is asked for.
            max_bytes: Largest media item, in bytes.
        """

        path: str
        subset: str | None = None
        data_files: tuple[str, ...] = ()
        splits: Mapping[str, str] = Field(default_factory=lambda: {"train": "train"})
        text: Mapping[str, str] = Field(default_factory=dict)
        image: Mapping[str, str] = Field(default_factory=dict)
        audio: Mapping[str, str] = Field(default_factory=dict)
        video: Mapping[str, str] = Field(default_factory=dict)
        tasks: Weights
        download: bool = False
        max_bytes: int = Field(MAX_BYTES, gt=0)

    config: Config

    def build(self, split: str, epoch: int = 0) -> HubStream:
        """Return the stream of a split.

        Raises:
            anyloom.errors.ConfigError: No download is allowed, the split does not exist, or a column is not there.
            anyloom.errors.PluginError: The package ``datasets`` is not installed.
        """
        del epoch
        c = self.config
        if split not in c.splits:
            known = ", ".join(c.splits) or "none"
            raise ConfigError(f"there is no split {split!r}", where="splits", fix=f"those that are named: {known}")
        if not c.download:
            raise ConfigError("this data set is fetched from the hub", where="download", fix="allow it: download: true")
        rows = self._rows(c.splits[split])
        fields: dict[str, tuple[str, Kind]] = {field: (column, "text") for field, column in c.text.items()}
        kinds: tuple[Kind, ...] = ("image", "audio", "video")
        for kind in kinds:
            fields |= {field: (column, kind) for field, column in getattr(c, kind).items()}
        return HubStream(rows, fields, one_of(c.tasks), c.path, c.max_bytes)

    def _rows(self, split: str) -> Any:
        try:
            import datasets
        except ImportError as error:
            raise PluginError(
                "the data set 'hf' needs the package datasets", fix="pip install 'anyloom[hub]'"
            ) from error
        c = self.config
        files = list(c.data_files) or None
        try:
            rows = datasets.load_dataset(c.path, c.subset, data_files=files, split=split, streaming=True)
        except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
            raise ConfigError(
                f"cannot be opened ({error})", where=c.path, fix="check name, subset and split"
            ) from error
        for column, feature in (rows.features or {}).items():
            if hasattr(feature, "decode"):
                # media stay as bytes: this project's own readers decode them, with their limits
                rows = rows.cast_column(column, type(feature)(decode=False))
        return rows
