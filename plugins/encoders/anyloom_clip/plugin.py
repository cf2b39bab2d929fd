"""The plugin's records; imports nothing heavy."""

from __future__ import annotations

from anyloom.discovery import ComponentSpec, hookimpl


@hookimpl
def anyloom_components() -> list[ComponentSpec]:
    """Two encoders of one modality each."""
    return [
        ComponentSpec(
            kind="encoder",
            name="clip",
            target="anyloom_clip.clip:CLIPEncoder",
            tiny="anyloom_clip.tiny:clip",
            modalities=("image",),
            requires=("transformers", "PIL"),
            licence="Apache-2.0 (published weights: as their folder says, MIT for OpenAI's and LAION's)",
            summary="CLIP's vision tower by transformers; pooled or token features",
        ),
        ComponentSpec(
            kind="encoder",
            name="clap",
            target="anyloom_clip.clap:CLAPEncoder",
            tiny="anyloom_clip.tiny:clap",
            modalities=("audio",),
            requires=("transformers", "soxr"),
            licence="Apache-2.0 (published weights: as their folder says, Apache-2.0 for LAION's)",
            summary="CLAP's audio tower by transformers; pooled or token features",
        ),
    ]
