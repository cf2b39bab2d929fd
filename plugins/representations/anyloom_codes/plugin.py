"""Records of this plugin."""

from __future__ import annotations

from anyloom.discovery import ComponentSpec, hookimpl


@hookimpl
def anyloom_components() -> list[ComponentSpec]:
    """The representation, the two halves of an autoencoder that gives codes, and the stage that trains it."""
    return [
        ComponentSpec(
            kind="representation",
            name="codes",
            target="anyloom_codes.codes:Codes",
            tiny="anyloom_codes.tiny:codes",
            licence="Apache-2.0",
            summary="Numbers of a codebook, predicted like words by cross entropy",
        ),
        ComponentSpec(
            kind="encoder",
            name="vq",
            target="anyloom_codes.vq:VQEncoder",
            tiny="anyloom_codes.tiny:encoder",
            modalities=("image",),
            requires=("diffusers",),
            licence="Apache-2.0",
            summary="Pictures as codes of a VQ autoencoder (diffusers' VQModel)",
        ),
        ComponentSpec(
            kind="decoder",
            name="vq",
            target="anyloom_codes.vq:VQDecoder",
            tiny="anyloom_codes.tiny:decoder",
            modalities=("image",),
            requires=("diffusers",),
            licence="Apache-2.0",
            summary="Codes of a VQ autoencoder as pictures; no diffusion",
        ),
        ComponentSpec(
            kind="module",
            name="vq-autoencoder",
            target="anyloom_codes.training:VQTraining",
            tiny="anyloom_codes.tiny:stage",
            licence="Apache-2.0",
            summary="Trains the autoencoder of codes on the pictures of any data set",
        ),
    ]
