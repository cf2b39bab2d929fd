"""The plugin's records; imports nothing heavy."""

from __future__ import annotations

from anyloom.discovery import ComponentSpec, hookimpl


@hookimpl
def anyloom_components() -> list[ComponentSpec]:
    """The image decoder."""
    return [
        ComponentSpec(
            kind="decoder",
            name="sd",
            target="anyloom_sd.decoder:SDDecoder",
            tiny="anyloom_sd.tiny:case",
            modalities=("image",),
            requires=("diffusers",),
            licence="Apache-2.0 (published weights: CreativeML Open RAIL-M, RAIL++-M for 2.x)",
            summary="Latent diffusion with cross-attention on feature tokens (Stable Diffusion 1.x, 2.x)",
        )
    ]
