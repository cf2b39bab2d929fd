"""Media that ship, so that a first example runs anywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from anyloom.conversation import Media
from anyloom.errors import MediaError, nearest
from anyloom.media.files import read_media

__all__ = ["sample"]

_FOLDER: Final = Path(__file__).parent / "samples"


def sample(name: str) -> Media:
    """Read a medium that ships with anyloom: the picture ``hat`` or the sound ``bell``, both in the public domain.

    Args:
        name: Its name.

    Raises:
        anyloom.errors.MediaError: Nothing of that name ships.

    >>> sample("hat").tensor().shape, sample("bell").meta["sample_rate"]
    (torch.Size([3, 192, 192]), 16000)
    """
    files = {path.stem: path for path in sorted(_FOLDER.iterdir()) if path.suffix != ".txt"}
    if not isinstance(name, str) or name not in files:
        fix = nearest(str(name), files) or f"there are {', '.join(files)}"
        raise MediaError(f"no sample is called {name!r}", where="sample", fix=fix)
    return read_media(files[name])
