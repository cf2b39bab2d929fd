"""The modalities that this package reads and writes. Light: the classes load when they are used."""

from __future__ import annotations

from anyloom.discovery import ComponentSpec, hookimpl


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
            summary="(3, H, W) RGB; PNG, JPEG, WebP, BMP, GIF, TIFF",
        ),
        ComponentSpec(
            kind="modality",
            name="audio",
            target="anyloom_media.audio:AudioIO",
            tiny="anyloom_media.tiny:sounds",
            modalities=("audio",),
            licence="Apache-2.0",
            summary="(1, T) mono at the file's rate; WAV, FLAC, Ogg, MP3",
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
        ),
    ]
