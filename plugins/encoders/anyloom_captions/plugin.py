"""Records of this plugin."""

from __future__ import annotations

from anyloom.discovery import ComponentSpec, hookimpl


@hookimpl
def anyloom_components() -> list[ComponentSpec]:
    """The encoder of captions."""
    return [
        ComponentSpec(
            kind="encoder",
            name="captions",
            target="anyloom_captions.encoder:CaptionEncoder",
            tiny="anyloom_captions.tiny:encoder",
            modalities=("image", "audio", "video"),
            licence="Apache-2.0",
            summary="Another encoder's features of a medium's caption, to be predicted in the medium's place",
        )
    ]
