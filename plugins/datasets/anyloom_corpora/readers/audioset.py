"""AudioSet: segment lists, class names, and sound files as download tools name them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

from anyloom.errors import BadRecord
from anyloom_corpora.media import MediaFolder
from anyloom_corpora.reader import Reader, require_split
from anyloom_corpora.readers.captioned import CaptionedSource, Patterns
from anyloom_corpora.tables import CsvRows, cell

__all__ = ["AudioSet", "AudioSetSource", "label_caption"]

COLUMNS = ("ytid", "start_seconds", "end_seconds", "positive_labels")


class AudioSetSource(CaptionedSource):
    """Segments with their labels in words; the caption is composed of them, for AudioSet has none.

    Args:
        rows: The segment list.
        folder: Where the files are.
        patterns: Modality -> names its file may have.
        names: Label code -> what it is called.
    """

    def __init__(
        self, rows: CsvRows, folder: MediaFolder, patterns: Mapping[str, Patterns], names: Mapping[str, str]
    ) -> None:
        super().__init__(rows, folder, patterns, "caption", key="ytid", sound="audio" not in patterns)
        self.names_of_labels = dict(names)

    def record(self, row: Mapping[str, Any], where: str) -> dict[str, Any]:
        """Return sound (or clip with sound), labels and caption of a segment.

        Raises:
            anyloom.errors.BadRecord: The file is missing, or a label has no name.
        """
        codes = [code.strip() for code in cell(row, "positive_labels", where).split(",") if code.strip()]
        unknown = [code for code in codes if code not in self.names_of_labels]
        if unknown:
            raise BadRecord("bad row", where, f"there is no label {unknown[0]!r}")
        labels = [self.names_of_labels[code] for code in codes]
        # seconds stand as 30.000 in the official lists and as 30 in file names
        plain = {**row, **{name: _plain(cell(row, name, where), where) for name in COLUMNS[1:3]}}
        record = {**super().record({**plain, "caption": label_caption(labels)}, where), "labels": labels}
        # only a segment with one label is one sound, and can be mixed into another under its name
        return {**record, "label": f"the sound of {_in_a_sentence(labels[0])}"} if len(labels) == 1 else record


class AudioSet(Reader):
    """AudioSet: ``{balanced,unbalanced}_train_segments.csv``, ``eval_segments.csv``, ``class_labels_indices.csv``.

    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from anyloom_corpora.fixtures.layouts import write_layout
    >>> with TemporaryDirectory() as folder:
    ...     root = write_layout("audioset", Path(folder))  # as `anyloom layouts` does
    ...     data = AudioSet(AudioSet.Config(root=root))
    ...     sample = data.build("train")[0]
    ...     sample.task, [getattr(s, "text", "<media>") for m in sample.conversation.messages for s in m.segments]
    ('audio-to-text', ['<media>', 'Put this sound into words.', 'The sound of speech'])
    """

    natural: ClassVar[Mapping[str, float]] = {
        "audio-to-text": 1,
        "text-to-audio": 1,
        "audio-add": 1,
        "audio-drop": 1,
        "audio-replace": 1,
        "audio-effect": 1,
        "audio-exemplar": 1,
    }

    class Config(Reader.Config):
        """Options; the defaults are the published names.

        Args:
            train: Segment list of the training split.
            val: Segment list of the validation split.
            test: Segment list of the test split.
            labels: List of label codes and names.
            audio: Names that a segment's sound may have: ``{ytid}``, ``{start_seconds}``, ``{end_seconds}``.
            video: The same for its clip; with clips and no sounds, the sound is the clip's.
        """

        train: str = "balanced_train_segments.csv"
        val: str = "eval_segments.csv"
        test: str = "eval_segments.csv"
        labels: str = "class_labels_indices.csv"
        audio: Patterns = (
            "audio/Y{ytid}.wav",
            "audio/{ytid}.wav",
            "audio/{ytid}_{start_seconds}.wav",
            "audio/{ytid}_{start_seconds}_{end_seconds}.wav",
            "audio/{ytid}.flac",
        )
        video: Patterns = ()

    config: Config

    def source(self, split: str) -> AudioSetSource:
        """Return the segments of a split.

        Raises:
            anyloom.errors.ConfigError: The split does not exist, or a list is missing.
        """
        require_split(split, "audioset")
        rows = CsvRows(self.file(getattr(self.config, split)), columns=COLUMNS, comment="#")
        given = {"audio": self.config.audio, "video": self.config.video}
        patterns = {modality: names for modality, names in given.items() if names}
        return AudioSetSource(rows, self.folder, patterns, _label_names(self.file(self.config.labels)))


def label_caption(labels: Sequence[str]) -> str:
    """Return a caption for labels, in their order: lower case, but for names such as "R&B".

    >>> label_caption(["Speech", "Dog", "Rain"])
    'The sound of speech, dog and rain'
    """
    words = [_in_a_sentence(label) for label in labels]
    joined = f"{', '.join(words[:-1])} and {words[-1]}" if len(words) > 1 else words[0]
    return f"The sound of {joined}"


def _in_a_sentence(label: str) -> str:
    return label if label[:2].isupper() else label[0].lower() + label[1:]


@cache
def _label_names(path: Path) -> dict[str, str]:
    """Label code -> name, from ``index,mid,display_name``."""
    rows = CsvRows(path)
    found = (rows[n] for n in range(len(rows)))
    return {cell(row, "mid", str(path)): cell(row, "display_name", str(path)) for row in found}


def _plain(seconds: str, where: str) -> str:
    try:
        return f"{float(seconds):g}"
    except ValueError as error:
        raise BadRecord("bad row", where, f"{seconds!r} are no seconds") from error
