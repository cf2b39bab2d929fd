"""CLIP's text ids against the published code's, from an excerpt of the vocabulary."""

from __future__ import annotations

import gzip
import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from anyloom.conversation import Media
from anyloom.errors import CheckpointError, ConfigError
from anyloom_imagebind import text as module
from anyloom_imagebind.encoder import ImageBindEncoder
from anyloom_imagebind.text import TextTokenizer, clean
from imagebind_golden import GOLDEN, OWN_SIZES, VOCABULARY

REFERENCE = np.load(GOLDEN / "imagebind_text.npz")


@pytest.fixture(scope="module")
def tokenizer() -> TextTokenizer:
    return TextTokenizer(VOCABULARY)


def test_ids_equal_the_reference(tokenizer: TextTokenizer) -> None:
    texts = list(REFERENCE["texts"])
    np.testing.assert_array_equal(tokenizer(texts).numpy(), REFERENCE["ids"])
    assert [len(tokenizer.ids(text)) for text in texts] == REFERENCE["untruncated_len"].tolist()


def test_ids_equal_the_reference_without_ftfy(tokenizer: TextTokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_ftfy", lambda: None)
    np.testing.assert_array_equal(tokenizer(list(REFERENCE["texts"])).numpy(), REFERENCE["ids"])


def test_ids_equal_those_of_transformers(tokenizer: TextTokenizer) -> None:
    from transformers import CLIPTokenizer

    theirs = CLIPTokenizer.from_pretrained(VOCABULARY)
    for text in ("a photo of a dog", "A bird sings in the rain", "the sound of waves"):
        ids = theirs(text).input_ids
        assert tokenizer(text)[0, : len(ids)].tolist() == ids


def test_a_tokenizer_json_gives_the_same(tokenizer: TextTokenizer, tmp_path: Path) -> None:
    from transformers import CLIPTokenizer

    CLIPTokenizer.from_pretrained(VOCABULARY).save_pretrained(tmp_path)
    assert not (tmp_path / "merges.txt").exists() or not (tmp_path / "vocab.json").exists()
    assert torch.equal(TextTokenizer(tmp_path)("a photo of a cat"), tokenizer("a photo of a cat"))


def test_a_list_of_merges_is_numbered_as_clip_does(tmp_path: Path) -> None:
    file = tmp_path / "bpe.txt.gz"
    file.write_bytes(gzip.compress(b'"bpe_simple_vocab_16e6.txt"#version: 0.2\ni n\nin g</w>\n'))
    tokenizer = TextTokenizer(file)
    known = json.loads((VOCABULARY / "vocab.json").read_text())
    assert (tokenizer.start, tokenizer.stop) == (514, 515)  # 2 x 256 byte symbols and two merges come before
    assert tokenizer.ids("sing") == [known["s"], 513]
    assert tokenizer.ids("in!") == [known["i"], known["n</w>"], known["!</w>"]]


def test_clean_repairs_and_lowers() -> None:
    assert clean("\uff21\u3000\ufb01ne \u201cDay\u201d\n") == 'a fine "day"'


def test_a_tokenizer_can_be_pickled(tokenizer: TextTokenizer) -> None:
    copy = pickle.loads(pickle.dumps(tokenizer))
    assert torch.equal(copy("a photo of a dog"), tokenizer("a photo of a dog"))


def test_text_media_are_bytes_or_ids(tokenizer: TextTokenizer) -> None:
    encoder = ImageBindEncoder.from_options(size=OWN_SIZES, vocabulary=VOCABULARY)
    ids = encoder.tokenize("a photo of a dog")[0]
    raw = torch.tensor(list(b"a photo of a dog"), dtype=torch.uint8)
    assert torch.equal(encoder.preprocess(Media("text", raw)), ids)
    assert torch.equal(encoder.preprocess(Media("text", ids.int())), ids)


def test_text_without_a_vocabulary_says_what_to_give() -> None:
    with pytest.raises(ConfigError, match="vocabulary"):
        ImageBindEncoder.from_options(size=OWN_SIZES).tokenize("hello")


@pytest.mark.parametrize("kind", ["missing", "empty folder", "not gzip", "without special tokens"])
def test_a_broken_vocabulary_gives_one_clear_error(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "bpe.txt.gz" if kind in ("missing", "not gzip") else tmp_path
    if kind == "not gzip":
        path.write_bytes(b"plain")
    if kind == "without special tokens":
        (tmp_path / "vocab.json").write_text('{"a": 0}')
        (tmp_path / "merges.txt").write_text("")
    with pytest.raises(CheckpointError) as caught:
        TextTokenizer(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("tokenizer.json", b"[]"),
        ("tokenizer.json", b'{"model": {"vocab": [1], "merges": []}}'),
        ("tokenizer.json", b'{"model": {"vocab": {}, "merges": [3]}}'),
        ("tokenizer.json", b"\xff\xfe"),
        ("tokenizer.json", b"<html>"),
        ("list.txt", b"\xe9 a\nb c"),
        ("list.gz", b"no gzip"),
        ("cut.gz", gzip.compress(b"a b\n" * 99, mtime=0)[:-9]),
        ("bent.gz", b"\x1f\x8b\x08" + bytes(7) + b"\xff" * 40),
    ],
)
def test_a_broken_vocabulary_is_one_clear_error(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CheckpointError, match="the vocabulary"):
        TextTokenizer(tmp_path if name == "tokenizer.json" else tmp_path / name)


def test_a_small_file_that_unpacks_to_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANYLOOM_LIMITS", "header-bytes=1000")
    (tmp_path / "list.gz").write_bytes(gzip.compress(bytes(100_000)))
    with pytest.raises(CheckpointError, match="more than 1,000 bytes"):
        TextTokenizer(tmp_path / "list.gz")
