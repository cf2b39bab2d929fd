"""``data.media_isolation``: media of data sets of any kind are decoded in a process that may hang or crash."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path

import pytest
import torch

from anyloom import Conversation, Message
from anyloom.data.ledger import Ledger
from anyloom.data.loader import ResumableLoader
from anyloom.data.sources.blob import Blob
from anyloom.data.sources.tar import TarGroups
from anyloom.interfaces import Sample
from anyloom.media import Isolation, read_media, write_media
from parts import picture


class Pictures:
    """Samples of pictures that stand in files, in an archive and in memory."""

    def __init__(self, folder: Path) -> None:
        self.paths = [write_media(picture(n), folder / f"{n}.png") for n in range(6)]
        with tarfile.open(folder / "a.tar", "w") as archive:
            for path in self.paths:
                archive.add(path, path.name)
        self.archive = TarGroups([folder / "a.tar"])

    def __len__(self) -> int:
        return 18

    def __getitem__(self, index: int) -> Sample:
        number, how = divmod(index, 3)
        path = self.paths[number]
        if how == 0:
            media = read_media(path, lazy=True)
        elif how == 1:
            media = self.archive[number]["png"].media("image")
        else:
            media = Blob(str(path), name=path.name, data=path.read_bytes()).media("image")
        return Sample(Conversation([Message("user", [media])]), "t", key=str(index))


def pixels(samples: list[Sample]) -> list[tuple[int, torch.Tensor]]:
    """The pictures, and the process that this runs in."""
    return [(os.getpid(), s.conversation.media[0].tensor()) for s in samples]


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 1])
def test_pictures_are_the_same_and_a_crash_costs_one_sample(
    tmp_path: Path, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = Pictures(tmp_path)
    here = [x for batch in ResumableLoader(lambda epoch: data, pixels, 3, shuffle=False) for _, x in batch]
    # the process that reads media finds this decoder, which dies at one picture as a broken library would
    (tmp_path / "sitecustomize.py").write_text(
        "import os, PIL.Image\n"
        "opened = PIL.Image.open\n"
        "def hostile(file, *rest, **more):\n"
        "    place = file.tell(); content = file.read(); file.seek(place)\n"
        f"    if content == open({str(data.paths[2])!r}, 'rb').read(): os.abort()\n"
        "    return opened(file, *rest, **more)\n"
        "PIL.Image.open = hostile\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    ledger = Ledger(max_bad=0.5)
    isolation = Isolation(30.0, 2000 + workers)
    loader = ResumableLoader(
        lambda epoch: data, pixels, 3, shuffle=False, workers=workers, ledger=ledger, isolation=isolation
    )
    apart = [x for batch in loader for _, x in batch]
    loader.close()
    assert ledger.total()["used"] == 15
    assert sum(ledger.total()["skipped"].values()) == 3
    assert all("its reader crashed (SIGABRT)" in text for text in ledger.examples()["crashed"])
    left = [x for number, x in enumerate(here) if number // 3 != 2]
    assert len(apart) == len(left)
    assert all(torch.equal(a, b) for a, b in zip(apart, left))
