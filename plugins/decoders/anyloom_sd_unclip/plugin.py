"""The plugin's records; imports nothing heavy."""

from __future__ import annotations

from anyloom.discovery import ComponentSpec, hookimpl


@hookimpl
def anyloom_components() -> list[ComponentSpec]:
    """The image decoder."""
    return [
        ComponentSpec(
            kind="decoder",
            name="sd-unclip",
            target="anyloom_sd_unclip.decoder:SDUnCLIPDecoder",
            tiny="anyloom_sd_unclip.tiny:decoder",
            modalities=("image",),
            requires=("diffusers",),
            licence="Apache-2.0 (published weights: CreativeML Open RAIL++-M)",
            summary="Latent diffusion on a noised image feature (Stable Diffusion 2.1 unCLIP)",
        )
    ]
