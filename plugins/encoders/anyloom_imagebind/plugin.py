"""The plugin's records; imports nothing heavy."""

from __future__ import annotations

from anyloom.discovery import CommandSpec, ComponentSpec, hookimpl


@hookimpl
def anyloom_components() -> list[ComponentSpec]:
    """One encoder for seven modalities."""
    return [
        ComponentSpec(
            kind="encoder",
            name="imagebind",
            target="anyloom_imagebind.encoder:ImageBindEncoder",
            tiny="anyloom_imagebind.tiny:encoder",
            modalities=("image", "video", "audio", "text", "depth", "thermal", "imu", "text-feature"),
            requires=("PIL", "tokenizers"),
            licence="Apache-2.0 (published weights: CC-BY-NC-SA-4.0)",
            summary="ImageBind: seven modalities in one space, the paper's C_x; pooled or token features",
        )
    ]


@hookimpl
def anyloom_commands() -> list[CommandSpec]:
    """Conversion of the published checkpoint."""
    return [
        CommandSpec(
            name="imagebind-convert",
            target="anyloom_imagebind.convert:main",
            summary="Write ImageBind's published .pth checkpoint as .safetensors",
        )
    ]
