"""Opens MP4, Matroska, AVI and AAC files through FFmpeg, and nothing else that FFmpeg would open.

FFmpeg picks one of some 300 formats by the content, some of which render text, play devices or open other files and
addresses (playlists). Here the first bytes choose the format, FFmpeg gets the open file and may use no protocol.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import av

from anyloom.errors import AnyloomError, MediaError
from anyloom_media.files import opened, unreadable
from anyloom_media.formats import START, container_format
from anyloom_media.integrity import missing_part

__all__ = ["opened_container"]

_NO_PROTOCOL: Final = {"protocol_whitelist": "none"}


@contextlib.contextmanager
def opened_container(path: Path, modality: str) -> Iterator[Any]:
    """Open a media container to read; it is closed at the end.

    Args:
        path: The file.
        modality: What is looked for, for errors.

    Raises:
        anyloom.errors.MediaError: The file is missing, truncated, or of no format that is read.
    """
    with _library_errors(path, modality), opened(path) as file:
        kind = container_format(file.read(START))
        if not kind:
            raise unreadable(path, modality, "its content is none of MP4, QuickTime, Matroska, WebM, AVI")
        if lack := missing_part(file):
            raise unreadable(path, modality, lack)
        with av.open(file, format=kind, options=_NO_PROTOCOL) as container:
            yield container


@contextlib.contextmanager
def _library_errors(path: Path, modality: str) -> Iterator[None]:
    """Turn whatever a library raises for a broken file into one MediaError."""
    try:
        yield
    except AnyloomError:
        raise
    except av.error.FFmpegError as error:
        if isinstance(error, MemoryError):  # of a table whose size a header makes up, not of this machine
            what = "its header asks for more memory than there is"
            raise MediaError(what, where=str(path), fix="fetch it or write it again", reason="too large") from error
        raise unreadable(path, modality, getattr(error, "strerror", None) or error) from error
    except MemoryError:
        raise
    except Exception as error:  # FFmpeg's errors are of a dozen classes, libsndfile's are RuntimeErrors
        raise unreadable(path, modality, getattr(error, "strerror", None) or error) from error
