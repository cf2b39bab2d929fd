r"""Kosmos-G's tsv files, whose columns are documented nowhere but in its scripts.

======================  ============================================================================================
form                    a line
======================  ============================================================================================
``composition``         caption, comma-separated tags, the picture, then for each tag its crop and its masked crop
``edit``                caption, instruction, then pairs of pictures before and after, all with that instruction
``caption``             caption, the picture
======================  ============================================================================================

Pictures are base64. Fields are never quoted: a quote is a quote.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any, ClassVar, Final, Literal

from anyloom.conversation import Media
from anyloom.data.sources import Blob, Lines
from anyloom.data.sources.jsonl import parse_json
from anyloom.errors import BadRecord, ConfigError
from anyloom_corpora.media import MediaFolder, of_base64
from anyloom_corpora.reader import Part, Reader, RecordSource, Share, split_by_order

__all__ = ["KosmosG", "KosmosGSource", "LinesOfFiles"]

Form = Literal["composition", "edit", "caption"]

_NATURAL: Final[Mapping[Form, Mapping[str, float]]] = {
    "composition": {"composition": 1},
    "edit": {"image-edit": 1, "image-exemplar": 1},
    "caption": {"image-to-text": 1, "text-to-image": 1},
}


class LinesOfFiles:
    """Lines of several files, one file after another.

    Args:
        files: The files.
    """

    def __init__(self, files: Sequence[Path]) -> None:
        self.parts = [Lines(path) for path in files]
        self._ends = list(accumulate(len(part) for part in self.parts))

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    @property
    def shards(self) -> Sequence[range]:
        """One range for each file."""
        return [range(end - len(part), end) for part, end in zip(self.parts, self._ends) if len(part)]

    def where(self, index: int) -> str:
        """Return file and line number, for errors."""
        part, line = self._place(index)
        return part.where(line)

    def __getitem__(self, index: int) -> Mapping[str, Any]:
        """Return the fields of a line.

        Raises:
            anyloom.errors.BadRecord: It is too long, cut, or no UTF-8.
        """
        part, line = self._place(index)
        return {"fields": part.text(line).split("\t")}

    def _place(self, index: int) -> tuple[Lines, int]:
        number = bisect_right(self._ends, index)
        part = self.parts[number]
        return part, index - (self._ends[number] - len(part))


class KosmosGSource(RecordSource):
    """Records of one form.

    Args:
        rows: The lines.
        folder: Limits.
        form: What a line holds.
    """

    def __init__(self, rows: LinesOfFiles, folder: MediaFolder, form: Form) -> None:
        super().__init__(rows, folder)
        self.form = form

    def record(self, row: Mapping[str, Any], where: str) -> dict[str, Any]:
        """Return the record of a line.

        Raises:
            anyloom.errors.BadRecord: Columns are missing, or a picture is no base64.
        """
        fields: list[str] = row["fields"]
        makers = {"composition": self._composition, "edit": self._edit, "caption": self._caption}
        return makers[self.form](fields, where)

    def _composition(self, fields: list[str], where: str) -> dict[str, Any]:
        if len(fields) < 3:
            raise BadRecord("bad row", where, f"{len(fields)} columns, at least 3 are needed")
        tags = [tag.strip() for tag in fields[1].split(",") if tag.strip()]
        crops = fields[3:]
        if len(crops) != 2 * len(tags):
            raise BadRecord("bad row", where, f"{len(tags)} tags, {len(crops)} crops; two a tag are needed")
        # the crop and the masked crop: the task draws one of them, as Kosmos-G's loader does
        both = [[self._picture(text, where) for text in crops[2 * n : 2 * n + 2]] for n in range(len(tags))]
        parts = [(tag, *pictures) for tag, pictures in zip(tags, both)]
        return {"caption": fields[0].strip(), "image": self._picture(fields[2], where), "parts": parts}

    def _edit(self, fields: list[str], where: str) -> dict[str, Any]:
        pictures = fields[2:]
        if len(pictures) < 2 or len(pictures) % 2:
            raise BadRecord("bad row", where, f"{len(pictures)} pictures, pairs are needed")
        if not fields[1].strip():
            raise BadRecord("bad row", where, "there is no instruction")
        media = [self._picture(text, where) for text in pictures]
        pairs = list(zip(media[::2], media[1::2]))
        before, after = pairs[0]
        words = {"caption": fields[0].strip(), "edit": fields[1].strip()}
        return {**words, "before": before, "after": after, "pairs": pairs[1:]}

    def _caption(self, fields: list[str], where: str) -> dict[str, Any]:
        if len(fields) < 2 or not fields[0].strip():
            raise BadRecord("bad row", where, "a caption and a picture are needed")
        return {"caption": fields[0].strip(), "image": self._picture(fields[1], where)}

    def _picture(self, text: str, where: str) -> Media:
        return of_base64(text, "image", where, max_bytes=self.folder.max_bytes)


class KosmosG(Reader):
    """Kosmos-G's tsv files: composition from OpenImages, InstructPix2Pix pairs, LAION captions.

    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from anyloom_corpora.fixtures.layouts import write_layout
    >>> with TemporaryDirectory() as folder:
    ...     root = write_layout("kosmos-g", Path(folder))  # as `anyloom layouts` does
    ...     data = KosmosG(KosmosG.Config(root=root))
    ...     sample = data.build("train")[0]
    ...     sample.task, [getattr(s, "text", "<media>") for m in sample.conversation.messages for s in m.segments]
    ('composition', ['A "big" ', '<media>', ' on ', '<media>', ' 0', '<media>'])
    """

    natural: ClassVar[Mapping[str, float]] = {}

    class Config(Reader.Config):
        """Options.

        Args:
            form: What a line holds.
            manifest: ``[{"source": [files], ...}]`` with the files to read, such as ``json/train.json``; by default
                all tsv files below ``root``.
            shares: Of train, val and test, by order.
        """

        form: Form = "composition"
        manifest: str | None = None
        shares: tuple[Share, Share, Share] = (1.0, 0.0, 0.0)

    config: Config

    def weights(self) -> Mapping[str, float]:
        """The tasks of the form."""
        return _NATURAL[self.config.form]

    def source(self, split: str) -> Part:
        """Return the lines of a split.

        Raises:
            anyloom.errors.ConfigError: The split does not exist, or a file is missing.
        """
        rows = LinesOfFiles(self._files())
        stretch = split_by_order(len(rows), self.config.shares, split, "kosmos-g")
        return Part(KosmosGSource(rows, self.folder, self.config.form), stretch)

    def _files(self) -> list[Path]:
        if self.config.manifest is None:
            found = sorted(self.config.root.rglob("*.tsv"))
            if not found:
                raise ConfigError("no tsv file is here", where=str(self.config.root), fix="check 'root'")
            return found
        path = self.file(self.config.manifest)
        try:
            value = parse_json(Blob(str(path)).read(64 << 20), str(path))
            names = [name for entry in value for name in entry["source"]]
            return [self.folder.path(name, str(path)) for name in names]
        except (BadRecord, TypeError, KeyError, AttributeError) as error:
            what = error.what if isinstance(error, BadRecord) else 'expected [{"source": [files]}]'
            raise ConfigError(what, where=str(path), fix="name the files inside 'root'") from error
