"""Media with captions in a table: the data set ``captioned``, and the published sets of this kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from pydantic import model_validator

from anyloom.data.sources import Blob
from anyloom.errors import ConfigError
from anyloom.options import WrongOptionsError
from anyloom_corpora.media import MediaFolder, blob_media, soundtrack
from anyloom_corpora.reader import SPLITS, Reader, RecordSource, Rows, require_split
from anyloom_corpora.tables import captions, cell, file_names, table

__all__ = ["AudioCaps", "Captioned", "CaptionedSource", "WebVid"]

Patterns = tuple[str, ...]


class CaptionedSource(RecordSource):
    """Records with media by the name patterns of their modality.

    Args:
        rows: The table.
        folder: Where the media are.
        patterns: Modality -> names its file may have, with columns of the table in braces.
        caption: Column of the caption.
        key: Column of the stable name; the row number by default.
        sound: Take the sound of clips as ``audio`` as well.
        label: Column of a class word, if there is one; underscores become spaces.
    """

    def __init__(
        self,
        rows: Rows,
        folder: MediaFolder,
        patterns: Mapping[str, Patterns],
        caption: str,
        *,
        key: str | None = None,
        sound: bool = False,
        label: str | None = None,
    ) -> None:
        super().__init__(rows, folder)
        self.patterns, self.caption, self.key, self.sound = dict(patterns), caption, key, sound
        self.label = label

    def record(self, row: Mapping[str, Any], where: str) -> dict[str, Any]:
        """Return media and caption of a row.

        Raises:
            anyloom.errors.BadRecord: A file or a column is missing, or there is no caption.
        """
        record: dict[str, Any] = {"caption": self.captions(row, where)}
        if self.key is not None:
            record["key"] = cell(row, self.key, where)
        if self.label is not None:
            record["label"] = cell(row, self.label, where).replace("_", " ")
        for modality, patterns in self.patterns.items():
            held = _media_cell(row, patterns)
            if held is not None:
                record[modality] = blob_media(held, modality, where, max_bytes=self.folder.max_bytes)
                continue
            names = file_names(row, patterns, where)
            record[modality] = self.folder.media(names, modality, where)
            if self.sound and modality == "video":
                record["audio"] = soundtrack(record["video"], where)
        return record

    def captions(self, row: Mapping[str, Any], where: str) -> str | Sequence[str]:
        """Return the caption of a row, or its captions.

        Raises:
            anyloom.errors.BadRecord: There is none.
        """
        return captions(row, self.caption, where)


def _media_cell(row: Mapping[str, Any], patterns: Patterns) -> Blob | None:
    """Return the file in a cell, where a pattern is one column alone, as the image and audio columns of the hub are."""
    for pattern in patterns:
        value = row.get(pattern[1:-1]) if pattern[:1] == "{" and pattern[-1:] == "}" else None
        content = value.get("bytes") if isinstance(value, Mapping) else value
        if isinstance(content, bytes):
            name = str(value.get("path") or "") if isinstance(value, Mapping) else ""
            return Blob("cell", name=name, data=content)
    return None


class Captioned(Reader):
    """Any table (csv, tsv, json, jsonl, parquet) with a caption and the names of media files.

    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from anyloom_corpora.fixtures.layouts import write_layout
    >>> with TemporaryDirectory() as folder:
    ...     root = write_layout("sound-classes", Path(folder))
    ...     columns = {"train": "meta/esc50.csv", "audio": ["audio/{filename}"], "caption": "category"}
    ...     sample = Captioned(Captioned.Config(root=root, **columns)).build("train")[0]
    ...     sample.task, sample.conversation.messages[-1].text
    ('audio-to-text', 'dog')
    """

    natural: ClassVar[Mapping[str, float]] = {}

    class Config(Reader.Config):
        """Options.

        Args:
            train: Table of the training split, inside ``root``.
            val: Table of the validation split.
            test: Table of the test split.
            image: Names that a row's picture may have, inside ``root``: columns of the table stand in braces. A column
                alone may hold the file itself, as the image and audio columns of the hub's parquet do.
            audio: The same for its sound.
            video: The same for its clip.
            caption: Column of the caption, a text or a list of texts.
            key: Column of a stable name; the row number by default.
            sound: Take the sound of clips as well.
            label: Column of a class word, such as ESC-50's ``category``: its sounds can be placed at the beginning,
                the middle or the end of others.
        """

        train: str | None = None
        val: str | None = None
        test: str | None = None
        image: Patterns = ()
        audio: Patterns = ()
        video: Patterns = ()
        caption: str = "caption"
        key: str | None = None
        sound: bool = False
        label: str | None = None

        @model_validator(mode="after")
        def _names_media(self) -> Captioned.Config:
            if not (self.image or self.audio or self.video):
                raise WrongOptionsError({"image": "no media are named; give image, audio or video"})
            if self.sound and not self.video:
                raise WrongOptionsError({"sound": "only clips have sound; give video"})
            return self

    config: Config

    @property
    def patterns(self) -> dict[str, Patterns]:
        """Modality -> name patterns, those that are given."""
        given = {"image": self.config.image, "audio": self.config.audio, "video": self.config.video}
        return {modality: patterns for modality, patterns in given.items() if patterns}

    def source(self, split: str) -> CaptionedSource:
        """Return the rows of a split's table.

        Raises:
            anyloom.errors.ConfigError: The split has no table, or it is not there.
        """
        rows = table(self.file(self.table_name(split)))
        c = self.config
        return CaptionedSource(rows, self.folder, self.patterns, c.caption, key=c.key, sound=c.sound, label=c.label)

    def table_name(self, split: str) -> str:
        """Return the file name of a split's table.

        Raises:
            anyloom.errors.ConfigError: The split has none.
        """
        require_split(split, type(self).__name__)
        name: str | None = getattr(self.config, split)
        if name is None:
            given = [s for s in SPLITS if getattr(self.config, s)]
            raise ConfigError(f"no table is given for the split {split!r}", where=split, fix=f"given: {given}")
        return name

    def weights(self) -> Mapping[str, float]:
        """Both ways between caption and media, for each modality that is given."""
        return {name: 1.0 for m in self.patterns for name in (f"{m}-to-text", f"text-to-{m}")}


class AudioCaps(Captioned):
    """AudioCaps: csv ``audiocap_id,youtube_id,start_time,caption`` (or NExT-GPT's json) and sound files.

    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from anyloom_corpora.fixtures.layouts import write_layout
    >>> with TemporaryDirectory() as folder:
    ...     root = write_layout("audiocaps", Path(folder))  # as `anyloom layouts` does
    ...     data = AudioCaps(AudioCaps.Config(root=root))
    ...     sample = data.build("train")[0]
    ...     sample.task, [getattr(s, "text", "<media>") for m in sample.conversation.messages for s in m.segments]
    ('audio-to-text', ['<media>', 'Put this sound into words.', 'a dog barking, far away'])
    """

    natural: ClassVar[Mapping[str, float]] = {"audio-to-text": 1, "text-to-audio": 1}

    class Config(Captioned.Config):
        """Options; the defaults are the published names.

        Args:
            train: Table of the training split.
            val: Table of the validation split.
            test: Table of the test split.
            audio: Names that the sound of a row may have.
            key: Column of the stable name.
        """

        train: str | None = "train.csv"
        val: str | None = "val.csv"
        test: str | None = "test.csv"
        audio: Patterns = (
            "audio/{youtube_id}.wav",
            "audio/Y{youtube_id}.wav",
            "audio/{youtube_id}_{start_time}.wav",
            "audio/{audiocap_id}.wav",
            "audio/{youtube_id}.flac",
        )
        key: str | None = "audiocap_id"


class WebVid(Captioned):
    """WebVid-like clips: csv ``videoid,contentUrl,duration,page_dir,name`` and ``videos/<page_dir>/<videoid>.mp4``.

    WebVid's addresses were withdrawn in February 2024; sets like it (Panda-70M, OpenVid, VidProM) are read by naming
    their columns.

    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from anyloom_corpora.fixtures.layouts import write_layout
    >>> with TemporaryDirectory() as folder:
    ...     root = write_layout("webvid", Path(folder))  # as `anyloom layouts` does
    ...     data = WebVid(WebVid.Config(root=root))
    ...     sample = data.build("train")[0]
    ...     sample.task, [getattr(s, "text", "<media>") for m in sample.conversation.messages for s in m.segments]
    ('video-to-text', ['<media>', 'Describe this clip.', 'A square, called "0", becomes light'])
    """

    natural: ClassVar[Mapping[str, float]] = {"video-to-text": 1, "text-to-video": 1}

    class Config(Captioned.Config):
        """Options; the defaults are the published names.

        Args:
            train: Table of the training split.
            val: Table of the validation split.
            video: Names that the clip of a row may have.
            caption: Column of the caption.
            key: Column of the stable name.
        """

        train: str | None = "results_10M_train.csv"
        val: str | None = "results_10M_val.csv"
        video: Patterns = ("videos/{page_dir}/{videoid}.mp4", "videos/{videoid}.mp4", "videos/{videoid:0>8}.mp4")
        caption: str = "name"
        key: str | None = "videoid"
