"""The plugin's records; imports nothing heavy."""

from __future__ import annotations

from anyloom.discovery import ComponentSpec, hookimpl


@hookimpl
def anyloom_components() -> list[ComponentSpec]:
    """The video decoder."""
    return [
        ComponentSpec(
            kind="decoder",
            name="zeroscope",
            target="anyloom_zeroscope.decoder:ZeroscopeDecoder",
            tiny="anyloom_zeroscope.tiny:case",
            modalities=("video",),
            requires=("diffusers",),
            licence="Apache-2.0 (published weights: CC-BY-NC-4.0)",
            summary="Latent diffusion over all frames of a clip at once (zeroscope v2)",
        )
    ]
