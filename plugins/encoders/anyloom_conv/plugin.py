"""Records of this plugin."""

from __future__ import annotations

from anyloom.discovery import ComponentSpec, hookimpl


@hookimpl
def anyloom_components() -> list[ComponentSpec]:
    """The encoder and the stage that trains it."""
    return [
        ComponentSpec(
            kind="encoder",
            name="conv",
            target="anyloom_conv.encoder:ConvEncoder",
            tiny="anyloom_conv.tiny:encoder",
            modalities=("image", "audio", "video"),
            licence="Apache-2.0",
            summary="Small: principal components of the media, and a convolutional tower aligned with captions",
        ),
        ComponentSpec(
            kind="module",
            name="conv-encoder",
            target="anyloom_conv.training:ConvEncoderStage",
            tiny="anyloom_conv.tiny:stage",
            modalities=("image", "audio"),
            licence="Apache-2.0",
            summary="Fits the components in closed form and aligns the tower with captions",
        ),
    ]
