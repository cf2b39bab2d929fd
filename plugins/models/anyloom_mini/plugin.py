"""Records of this plugin. Light: nothing heavy is imported before a component is used or the command runs."""

from __future__ import annotations

from anyloom.discovery import CommandSpec, ComponentSpec, RecipeSpec, hookimpl


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


@hookimpl
def anyloom_recipes() -> list[RecipeSpec]:
    """The small model that trains in hours, what is taught to it, and its presentation."""
    return [
        RecipeSpec(
            name="mini",
            package="anyloom_mini",
            path="mini.yaml",
            summary="CoDi-2 with small numbers: trains on two CPU cores from the starter pack",
            command="anyloom fit mini --stage all",
            weights="weights",
        ),
        RecipeSpec(
            name="mini-plain",
            package="anyloom_mini",
            path="mini-plain.yaml",
            summary="mini with the paper's MLP projectors and a mixture of edits and examples",
            command="anyloom fit mini-plain --stage model",
            weights="weights-plain",
        ),
        RecipeSpec(
            name="mini-clips",
            package="anyloom_mini",
            path="mini-clips.yaml",
            summary="mini-plain with a fourth modality, short clips, and what sounds with them",
            command="anyloom fit mini-clips --stage model",
        ),
        RecipeSpec(
            name="demo",
            package="anyloom_mini",
            path="demo.yaml",
            summary="mini, with what 'anyloom demo' measures and shows",
            command="anyloom demo --from-scratch",
        ),
        RecipeSpec(
            name="lesson",
            package="anyloom_mini",
            path="lesson.yaml",
            summary="teaches the trained small model an edit it never saw",
            command="anyloom demo",
        ),
        RecipeSpec(
            name="in-context",
            package="anyloom_mini",
            path="suite.yaml",
            summary="evaluation suite: in-context and text edits, captions, sequences, sounds, decoders",
            command="anyloom evaluate --suite in-context",
        ),
    ]


@hookimpl
def anyloom_commands() -> list[CommandSpec]:
    """The first thing to try."""
    return [
        CommandSpec(
            name="demo",
            target="anyloom_mini.demo.command:main",
            summary="teach the small model something new, measure it on unseen subjects, write a report",
        )
    ]
