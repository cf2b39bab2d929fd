"""Text as CLIP's byte-pair ids, 77 of them, from the published vocabulary in any of its file formats."""

from __future__ import annotations

import functools
import gzip
import html
import importlib
import shutil
import unicodedata
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import torch
from tokenizers import Regex, Tokenizer, models, pre_tokenizers
from torch import Tensor

from anyloom.errors import CheckpointError
from anyloom.limits import limit
from anyloom.storage.json_text import json_value
from anyloom_imagebind.stems import CONTEXT

__all__ = ["START", "STOP", "TextTokenizer", "clean", "copy_vocabulary"]

START: Final = "<|startoftext|>"
STOP: Final = "<|endoftext|>"
_PIECES: Final = r"(?i)'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+"
_FIX: Final = "give CLIP's bpe_simple_vocab_16e6.txt.gz or its folder"
_MERGES: Final = 49152 - 256 - 2
_FOLDER_FILES: Final = ("vocab.json", "merges.txt", "tokenizer.json")

Vocabulary = tuple[dict[str, int], list[tuple[str, str]]]


class TextTokenizer:
    """Turns texts into ids ``(77,)``: start, text, stop, then zeros. Picklable.

    As in the published code, a text that is too long keeps its first 75 ids, and one that spells a special token
    gives that token.

    Args:
        path: CLIP's ``bpe_simple_vocab_16e6.txt.gz``, or a folder with ``vocab.json`` and ``merges.txt``, or with
            ``tokenizer.json``.

    Raises:
        anyloom.errors.CheckpointError: No vocabulary is there, or it lacks the special tokens.
    """

    def __init__(self, path: Path) -> None:
        ids, merges = _read(path)
        lacking = [token for token in (START, STOP) if token not in ids]
        if lacking:
            raise CheckpointError(f"the vocabulary has no {lacking[0]}", where=str(path), fix="give CLIP's")
        self.start, self.stop = ids[START], ids[STOP]
        self._bpe = Tokenizer(models.BPE(vocab=ids, merges=merges, end_of_word_suffix="</w>"))
        split = pre_tokenizers.Split(Regex(_PIECES), "removed", invert=True)
        byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        self._bpe.pre_tokenizer = pre_tokenizers.Sequence([split, byte_level])
        self._bpe.add_special_tokens([START, STOP])

    def ids(self, text: str) -> list[int]:
        """Ids of a text alone, without start and stop, however many."""
        return list(self._bpe.encode(clean(text)).ids)

    def __call__(self, texts: str | Sequence[str]) -> Tensor:
        """Return ids ``(N, 77)`` of N texts, int64; one string counts as one text."""
        texts = [texts] if isinstance(texts, str) else texts
        rows = torch.zeros(len(texts), CONTEXT, dtype=torch.long)
        for row, text in zip(rows, texts):
            ids = [self.start, *self.ids(text)[: CONTEXT - 2], self.stop]
            row[: len(ids)] = torch.tensor(ids)
        return rows


def clean(text: str) -> str:
    """Repair, unescape twice, put single spaces and lower the case, as CLIP does before splitting.

    The repair is ``ftfy.fix_text`` where that package is installed. Without it, typographic quotes, ligatures and
    full-width letters become plain ones, which is what matters of it for text that is not garbled.

    >>> clean("  A &amp;amp; B\u2019s ")
    "a & b's"
    """
    ftfy = _ftfy()
    repaired = ftfy.fix_text(text) if ftfy else unicodedata.normalize("NFC", text.translate(_plain_characters()))
    return " ".join(html.unescape(html.unescape(repaired)).split()).lower()


def _ftfy() -> Any:
    try:
        return importlib.import_module("ftfy")
    except ImportError:
        return None


@functools.cache
def _plain_characters() -> dict[int, str]:
    """Plain text for typographic quotes, Latin ligatures, full- and half-width forms, the wide space."""
    quotes = dict.fromkeys((0x2BC, *range(0x2018, 0x201C)), "'") | dict.fromkeys(range(0x201C, 0x2020), '"')
    forms = [0x132, 0x133, *range(0xFB00, 0xFB07), *range(0xFF01, 0xFFF0), 0x3000]
    return quotes | {code: unicodedata.normalize("NFKC", chr(code)) for code in forms}


def copy_vocabulary(path: Path, folder: Path) -> str:
    """Copy a vocabulary into a folder, making it, and return its name there (empty for the folder itself)."""
    folder.mkdir(parents=True, exist_ok=True)
    if path.is_file():
        shutil.copy2(path, folder / path.name)
        return path.name
    for name in _FOLDER_FILES:
        if (path / name).is_file():
            shutil.copy2(path / name, folder / name)
    return ""


def _read(path: Path) -> Vocabulary:
    try:
        return _read_folder(path) if path.is_dir() else _read_list(path)
    except (OSError, EOFError, zlib.error, ValueError, LookupError, TypeError, AttributeError) as error:
        what = f"the vocabulary cannot be read ({type(error).__name__}: {error})"
        raise CheckpointError(what, where=str(path), fix=_FIX) from error


def _read_folder(folder: Path) -> Vocabulary:
    if (folder / "vocab.json").is_file() and (folder / "merges.txt").is_file():
        lines = _content(folder / "merges.txt").decode("utf-8").splitlines()
        ids: dict[str, int] = dict(json_value(_content(folder / "vocab.json")).items())
        return ids, [_pair(line) for line in lines if line and not line.startswith("#version")]
    if not (folder / "tokenizer.json").is_file():
        raise CheckpointError("no vocab.json with merges.txt, and no tokenizer.json", where=str(folder), fix=_FIX)
    model = json_value(_content(folder / "tokenizer.json"))["model"]
    ids = dict(model["vocab"].items())
    return ids, [_pair(m) if isinstance(m, str) else (m[0], m[1]) for m in model["merges"]]


def _read_list(path: Path) -> Vocabulary:
    if not path.is_file():
        raise CheckpointError("there is no such file", where=str(path), fix=_FIX)
    merges = [_pair(line) for line in _content(path).decode("utf-8").split("\n")[1 : 1 + _MERGES] if line]
    return _numbered(merges), merges


def _content(path: Path) -> bytes:
    """The bytes of a file, unpacked if it is packed, of which no more is read than is allowed."""
    most = limit("header-bytes")
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise ValueError(f"{path.name} has more than {most:,} bytes")
    return content


def _pair(line: str) -> tuple[str, str]:
    first, _, second = line.strip("\r\n").partition(" ")
    return first, second


def _numbered(merges: Sequence[tuple[str, str]]) -> dict[str, int]:
    """Number a list of merges as CLIP does: byte symbols, the same at a word's end, merges, special tokens."""
    symbols = _byte_symbols()
    words = [*symbols, *(s + "</w>" for s in symbols), *(a + b for a, b in merges), START, STOP]
    return {word: number for number, word in enumerate(words)}


def _byte_symbols() -> list[str]:
    """GPT-2's printable stand-ins of the 256 bytes: those that print stand for themselves and come first."""
    printing = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    return [chr(b) for b in printing] + [chr(256 + n) for n in range(256 - len(printing))]
