"""The plugin's records; imports nothing heavy."""

from __future__ import annotations

from anyloom.discovery import ComponentSpec, hookimpl


@hookimpl
def anyloom_components() -> list[ComponentSpec]:
    """The audio decoder."""
    return [
        ComponentSpec(
            kind="decoder",
            name="audioldm2",
            target="anyloom_audioldm2.decoder:AudioLDM2Decoder",
            tiny="anyloom_audioldm2.tiny:decoder",
            modalities=("audio",),
            requires=("diffusers",),
            licence="Apache-2.0 (published weights: CC-BY-NC-SA-4.0)",
            summary="Latent diffusion on log-mel spectrograms (AudioLDM2), Griffin-Lim or HiFi-GAN to sound",
        )
    ]
