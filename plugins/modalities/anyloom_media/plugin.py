"""The modalities that this package reads and writes. Light: the classes load when they are used."""

from __future__ import annotations

from anyloom.discovery import ComponentSpec, hookimpl

_PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".avif", ".heic", ".heif")
_SOUNDS = (".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".m4a", ".aac")
_CLIPS = (".mp4", ".m4v", ".webm", ".mkv", ".mov", ".avi")

# How the files begin; "?" stands for any byte.
_PICTURE_STARTS = (
    b"\x89PNG\r\n\x1a\n",
    b"\xff\xd8\xff",
    b"GIF87a",
    b"GIF89a",
    b"RIFF????WEBP",
    b"II*\x00",
    b"MM\x00*",
    b"????ftypavif",
    b"????ftypheic",
    b"????ftypheix",
    b"????ftypmif1",
)
_SOUND_STARTS = (b"RIFF????WAVE", b"fLaC", b"OggS", b"ID3", b"FORM????AIFF", b"????ftypM4A ")
_CLIP_STARTS = (b"????ftyp", b"\x1aE\xdf\xa3", b"RIFF????AVI ")


@hookimpl
def anyloom_components() -> list[ComponentSpec]:
    """Pictures through Pillow, sounds through libsndfile, clips through FFmpeg."""
    return [
        ComponentSpec(
            kind="modality",
            name="image",
            target="anyloom_media.image:ImageIO",
            tiny="anyloom_media.tiny:pictures",
            modalities=("image",),
            licence="Apache-2.0",
            summary="(3, H, W) RGB; PNG, JPEG, WebP, BMP, GIF, TIFF, AVIF, HEIC",
            suffixes=_PICTURES,
            signatures=_PICTURE_STARTS,
        ),
        ComponentSpec(
            kind="modality",
            name="audio",
            target="anyloom_media.audio:AudioIO",
            tiny="anyloom_media.tiny:sounds",
            modalities=("audio",),
            licence="Apache-2.0",
            summary="(1, T) mono at the file's rate; WAV, FLAC, Ogg, Opus, MP3, AIFF, M4A",
            suffixes=_SOUNDS,
            signatures=_SOUND_STARTS,
        ),
        ComponentSpec(
            kind="modality",
            name="video",
            target="anyloom_media.video:VideoIO",
            tiny="anyloom_media.tiny:clips",
            modalities=("video",),
            requires=("av",),
            licence="Apache-2.0",
            summary="(T, 3, H, W) RGB with frames per second; MP4, WebM, Matroska, QuickTime, AVI",
            suffixes=_CLIPS,
            signatures=_CLIP_STARTS,
        ),
    ]
