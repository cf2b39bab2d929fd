"""Records of this plugin."""

from __future__ import annotations

from anyloom.discovery import ComponentSpec, hookimpl


@hookimpl
def anyloom_components() -> list[ComponentSpec]:
    """Parts of the ordinary kinds that only very small models need."""
    return [
        ComponentSpec(
            kind="representation",
            name="edit",
            target="anyloom_mini.edit:Edit",
            tiny="anyloom_mini.tiny:edit",
            licence="Apache-2.0",
            summary="Features are compared with, and predicted as changes of, the medium before",
        ),
        ComponentSpec(
            kind="decoder",
            name="mini-picture",
            target="anyloom_mini.picture_decoder:MiniPicture",
            tiny="anyloom_mini.tiny:picture",
            modalities=("image",),
            requires=("diffusers",),
            licence="Apache-2.0",
            summary="Small latent diffusion of pictures around a sketch in closed form",
        ),
        ComponentSpec(
            kind="decoder",
            name="mini-clip",
            target="anyloom_mini.clip_decoder:MiniClip",
            tiny="anyloom_mini.tiny:clip",
            modalities=("video",),
            requires=("diffusers",),
            licence="Apache-2.0",
            summary="The small decoder of pictures on every frame of a clip, with convolutions over time between",
        ),
        ComponentSpec(
            kind="decoder",
            name="mini-sound",
            target="anyloom_mini.sound_decoder:MiniSound",
            tiny="anyloom_mini.tiny:sound",
            modalities=("audio",),
            requires=("diffusers",),
            licence="Apache-2.0",
            summary="Small latent diffusion of log-mel spectrograms around a sketch in closed form",
        ),
        ComponentSpec(
            kind="module",
            name="mini-autoencoder",
            target="anyloom_mini.stages:MiniAutoencoderStage",
            requires=("diffusers",),
            licence="Apache-2.0",
            summary="Trains the autoencoder of a small decoder, from principal components on",
        ),
        ComponentSpec(
            kind="module",
            name="mini-decoder",
            target="anyloom_mini.stages:MiniDecoderStage",
            requires=("diffusers",),
            licence="Apache-2.0",
            summary="Trains the denoiser of a small decoder, from a sketch in closed form on",
        ),
    ]
