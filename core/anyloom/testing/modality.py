"""Checks of modalities: reading, writing and showing media."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from anyloom.discovery.records import SUFFIX
from anyloom.errors import MediaError
from anyloom.testing.case import ModalityCase
from anyloom.testing.checking import check, require
from anyloom.testing.component import ComponentChecks

__all__ = ["ModalityChecks"]

_WORDS = "only words\n" * 200


class ModalityChecks(ComponentChecks):
    """Inherit and supply the fixture ``case``, a :class:`anyloom.testing.ModalityCase`."""

    shapes_in: ClassVar[tuple[str, ...]] = ("read",)

    def use(self, case: ModalityCase) -> None:
        """Write, read and show."""
        io = case.build()
        with tempfile.TemporaryDirectory() as folder:
            for number, media in enumerate(case.media):
                io.to_html(io.read(io.write(media, Path(folder, f"{number}{io.suffixes[0]}"))))

    @check("list in the record's 'suffixes' what it reads, and in the class's what it writes")
    def test_its_record_claims_what_it_writes(self, case: ModalityCase) -> None:
        """Its record names the suffixes that it writes, so that files are found without an import of the class."""
        missing = [suffix for suffix in case.build().suffixes if suffix not in case.spec.suffixes]
        require(not missing, f"it writes {missing[:1]}, which its record does not claim")

    @check("set 'modality' to the record's name, and 'suffixes' to lower-case suffixes with the dot")
    def test_declares_name_and_suffixes(self, case: ModalityCase) -> None:
        """It names its modality and its file suffixes."""
        io = case.build()
        require(bool(io.suffixes), "it names no suffix")
        wrong = [s for s in io.suffixes if not SUFFIX.fullmatch(s)]
        require(not wrong, f"the suffix {wrong[:1]} is not lower case with a dot")
        require(io.modality == case.media[0].modality, f"its modality is {io.modality!r}")
        require(io.modality == case.spec.name, f"its modality is {io.modality!r}, its record says {case.spec.name!r}")

    @check("write all that read() needs, and read it in the layout and scale that was written")
    def test_written_media_are_read_again(self, case: ModalityCase) -> None:
        """Media that are written and read again are the same, up to the case's tolerance."""
        io = case.build()
        with tempfile.TemporaryDirectory() as folder:
            for number, media in enumerate(case.media):
                path = Path(folder, f"{number}{io.suffixes[0]}")
                require(io.write(media, path) == path and path.is_file(), "write() does not return the path it wrote")
                back = io.read(path)
                before, after = _values(media.tensor()), _values(back.tensor())
                require(back.modality == io.modality, f"what is read is of the modality {back.modality!r}")
                require(before.shape == after.shape, f"{tuple(before.shape)} comes back as {tuple(after.shape)}")
                error = float((before - after).abs().max())
                require(error <= case.tolerance, f"values come back with an error of {error:.3g}")
                lost = {k: v for k, v in media.meta.items() if back.meta.get(k) != v}
                require(not lost, f"meta comes back without {lost}")

    @check("read in read_meta() what read() would give as meta")
    def test_header_says_what_the_file_says(self, case: ModalityCase) -> None:
        """`read_meta` gives the meta of `read`."""
        io = case.build()
        with tempfile.TemporaryDirectory() as folder:
            path = io.write(case.media[0], Path(folder, f"a{io.suffixes[0]}"))
            first, second = dict(io.read_meta(path)), dict(io.read(path).meta)
            require(first == second, f"read_meta() gives {first}, read() {second}")

    @check("turn whatever a library raises for a broken file into anyloom.errors.MediaError")
    def test_broken_files_are_refused(self, case: ModalityCase) -> None:
        """A missing file, an empty one and one of another kind raise MediaError with the path."""
        io = case.build()
        with tempfile.TemporaryDirectory() as folder:
            empty, words = Path(folder, f"empty{io.suffixes[0]}"), Path(folder, f"words{io.suffixes[0]}")
            empty.touch()
            words.write_text(_WORDS)
            for path in (Path(folder, f"missing{io.suffixes[0]}"), empty, words):
                _require_error(lambda path=path: io.read(path), path)  # type: ignore[misc]

    @check("return one HTML fragment with data URIs: no scripts, no addresses")
    def test_html_is_self_contained(self, case: ModalityCase) -> None:
        """`to_html` gives a fragment that needs no script and no other file."""
        io = case.build()
        for media in case.media:
            html = io.to_html(media)
            require("<" in html, "to_html() gives no HTML")
            loads = re.search(r"<script|<link|(?:src|href)\s*=\s*(?![\"']?(?:data:|#))", html, re.IGNORECASE)
            require(loads is None, f"the HTML holds {loads[0] if loads else ''!r}")


def _values(data: Tensor) -> Tensor:
    """Values as floats; bytes are the same values on another scale."""
    return data.float() / 255 if data.dtype == torch.uint8 else data.float()


def _require_error(read: Callable[[], Any], path: Path) -> None:
    """Raise unless reading raises a MediaError that names the file."""
    kind = path.stem
    try:
        read()
    except MediaError as error:
        require(path.name in str(error), f"the error of the {kind} file does not name it: {error}")
        return
    except Exception as error:
        require(False, f"the {kind} file raises {type(error).__name__}: {error}")
    require(False, f"the {kind} file is read without an error")
