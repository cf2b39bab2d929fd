"""A piece of a file is that of the file which has the path now, however often others were read before."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from anyloom.storage.open_files import read_piece


def test_another_file_in_its_place_is_read(tmp_path: Path) -> None:
    path, other = tmp_path / "a", tmp_path / "b"
    path.write_bytes(b"0123456789")
    assert read_piece(str(path), 2, 3) == b"234"
    other.write_bytes(b"abcdefghij")
    os.link(path, tmp_path / "kept")  # the first file still exists, elsewhere
    other.replace(path)
    assert read_piece(str(path), 2, 3) == b"cde"
    path.unlink()
    with pytest.raises(FileNotFoundError):
        read_piece(str(path), 2, 3)


def test_many_files_and_threads(tmp_path: Path) -> None:
    paths = [tmp_path / str(n) for n in range(40)]
    for n, path in enumerate(paths):
        path.write_bytes(bytes([n]) * 100)
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else None
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda k: read_piece(str(paths[k % 40]), k % 90, 5), range(4000)))
    assert all(piece == bytes([k % 40]) * 5 for k, piece in enumerate(found))
    if before is not None:
        assert len(os.listdir("/proc/self/fd")) <= before + 16
