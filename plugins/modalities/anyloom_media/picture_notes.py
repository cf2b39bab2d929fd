"""What made a picture, kept in its file where the format has a place that other programs know.

PNG has a text chunk, JPEG comments (as many as it takes, each of 64 KB), GIF a comment; WebP and TIFF an XMP packet.
BMP has none.

Sources: PNG specification (third edition) 11.3.3.4, iTXt; ITU-T T.81 B.2.4.5, comment; GIF89a 24, comment extension;
WebP container specification, XMP chunk; XMP specification parts 1 and 3 (TIFF tag 700).
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any, BinaryIO, Final
from xml.sax.saxutils import escape, unescape

from PIL import Image

from anyloom_media.files import opened
from anyloom_media.notes import MOST_CHARACTERS, chunks, note_text

__all__ = ["picture_note", "put_into_file", "saving"]

_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_HEAD: Final = b"anyloom\0\0\0\0\0"  # keyword, not compressed, no language, no translated keyword
_COMMENT: Final = 0xFE
_SCAN: Final = 0xDA
_ROOM: Final = 65_533
"""Bytes of one segment of a JPEG file beside those of its length."""

_XMP_TAG: Final = 700
_BEGIN, _END = "<anyloom:note>", "</anyloom:note>"
_PACKET: Final = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description rdf:about="" xmlns:anyloom="urn:anyloom">'
    f"{_BEGIN}{{}}{_END}</rdf:Description></rdf:RDF></x:xmpmeta>"
    '<?xpacket end="r"?>'
)


def saving(kind: str, note: str) -> dict[str, Any]:
    """What Pillow is given to keep a note in a file of a kind; nothing for kinds whose files take it afterwards."""
    packet = _PACKET.format(escape(note)).encode()
    options: dict[str, dict[str, Any]] = {
        "WEBP": {"xmp": packet},
        "TIFF": {"tiffinfo": {_XMP_TAG: packet}},
        "GIF": {"comment": note.encode()},
    }
    return options.get(kind, {})


def put_into_file(path: Path, kind: str, note: str) -> None:
    """Put a note into a PNG or JPEG file that has just been written; others are left as they are."""
    if kind == "PNG":
        path.write_bytes(_put_into_png(path.read_bytes(), note))
    elif kind == "JPEG":
        path.write_bytes(_put_into_jpeg(path.read_bytes(), note))


def picture_note(path: Path) -> str:
    """Return the note of a picture's file, empty if there is none.

    Raises:
        anyloom.errors.MediaError: The file is missing or empty.
    """
    with opened(path) as file:
        start = file.read(12)
        if start[:8] == _SIGNATURE:
            file.seek(8)
            return _of_png(file)
        if start[:2] == b"\xff\xd8":
            file.seek(2)
            return _of_jpeg(file)
        if start[:4] == b"RIFF" and start[8:] == b"WEBP":
            return _of_webp(file)
        file.seek(0)
        return _of_pillow(file) if start[:4] in (b"GIF8", b"II*\0", b"MM\0*") else ""


def _put_into_png(content: bytes, note: str) -> bytes:
    """A PNG file with a note before its end."""
    data = _HEAD + note.encode()
    chunk = struct.pack(">I", len(data)) + b"iTXt" + data + struct.pack(">I", zlib.crc32(b"iTXt" + data))
    end = content.rindex(b"IEND") - 4
    return content[:end] + chunk + content[end:]


def _put_into_jpeg(content: bytes, note: str) -> bytes:
    """A JPEG file with a note in comments behind its first segment, which stays first: readers look for it there."""
    data = note.encode()
    pieces = [data[n : n + _ROOM] for n in range(0, len(data), _ROOM)]
    comments = b"".join(b"\xff\xfe" + struct.pack(">H", len(piece) + 2) + piece for piece in pieces)
    (first,) = struct.unpack(">H", content[4:6])
    behind = 4 + first
    return content[:behind] + comments + content[behind:]


def _of_png(file: BinaryIO) -> str:
    for kind, size in chunks(file, ">I4s", padded=False, tail=4, swap=True):
        if kind == b"iTXt" and size <= MOST_CHARACTERS * 4:
            data = file.read(size)
            if data.startswith(_HEAD):
                return note_text(data[len(_HEAD) :])
    return ""


def _of_jpeg(file: BinaryIO) -> str:
    """The comments before the picture's data, one after the other."""
    found = b""
    while len(found) <= MOST_CHARACTERS * 4:
        head = file.read(4)
        if len(head) < 4 or head[0] != 0xFF or head[1] == _SCAN:
            break
        size = struct.unpack(">H", head[2:])[0] - 2
        if size < 0:
            break
        if head[1] == _COMMENT:
            found += file.read(size)
        else:
            file.seek(size, 1)
    return note_text(found)


def _of_webp(file: BinaryIO) -> str:
    for kind, size in chunks(file, "<4sI", padded=True, tail=0, swap=False):
        if kind == b"XMP " and size <= MOST_CHARACTERS * 4:
            return _in_packet(file.read(size))
    return ""


def _of_pillow(file: BinaryIO) -> str:
    try:
        with Image.open(file, formats=("GIF", "TIFF")) as picture:
            tags = getattr(picture, "tag_v2", None)
            data = picture.info.get("comment", b"") if tags is None else tags.get(_XMP_TAG, b"")
            if not isinstance(data, bytes) or len(data) > MOST_CHARACTERS * 4:
                return ""
            return note_text(data) if tags is None else _in_packet(data)
    except MemoryError:
        raise
    except Exception:  # what is wrong with it is said by whoever reads its pixels
        return ""


def _in_packet(data: bytes) -> str:
    """The note in an XMP packet, which is looked for as text: nothing of it is evaluated."""
    text = data.decode(errors="replace")
    begin, end = text.find(_BEGIN), text.rfind(_END)
    return note_text(unescape(text[begin + len(_BEGIN) : end]).encode()) if 0 <= begin < end else ""
