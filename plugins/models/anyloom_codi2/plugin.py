"""Recipes and the demo command. Light: nothing heavy is imported before the command runs."""

from __future__ import annotations

from anyloom.discovery import CommandSpec, RecipeSpec, hookimpl


@hookimpl
def anyloom_recipes() -> list[RecipeSpec]:
    """The paper's model, the small model that trains in minutes, and its presentation."""
    return [
        RecipeSpec(
            name="codi2",
            package="anyloom_codi2",
            path="codi2.yaml",
            summary="CoDi-2 in full size: Llama 2, ImageBind, SD unCLIP, AudioLDM2, zeroscope",
            command="anyloom fit codi2 --stage all",
        ),
        RecipeSpec(
            name="codi2-fsdp2",
            package="anyloom_codi2",
            path="codi2-fsdp2.yaml",
            summary="codi2 on several GPUs, parameters and moments shared out (FSDP2)",
            command="anyloom fit codi2-fsdp2 variables.data=FOLDER trainer.devices=8",
        ),
        RecipeSpec(
            name="codi2-deepspeed",
            package="anyloom_codi2",
            path="codi2-deepspeed.yaml",
            summary="codi2 on several GPUs with DeepSpeed (ZeRO-2), where that is installed",
            command="anyloom fit codi2-deepspeed variables.data=FOLDER trainer.devices=8",
        ),
        RecipeSpec(
            name="codi2-qlora-1gpu",
            package="anyloom_codi2",
            path="codi2-qlora-1gpu.yaml",
            summary="codi2 on one GPU, its language model in 4 bits (QLoRA)",
            command="anyloom fit codi2-qlora-1gpu variables.data=FOLDER",
        ),
        RecipeSpec(
            name="paper",
            package="anyloom_codi2",
            path="paper.yaml",
            summary="codi2 with the data sets and tasks of the paper, in their published layouts",
            command="anyloom fit paper variables.data=FOLDER",
        ),
        RecipeSpec(
            name="mini",
            package="anyloom_codi2",
            path="mini.yaml",
            summary="CoDi-2 with small numbers: trains on two CPU cores from the starter pack",
            command="anyloom fit mini --stage all",
            weights="weights",
        ),
        RecipeSpec(
            name="mini-plain",
            package="anyloom_codi2",
            path="mini-plain.yaml",
            summary="mini with the paper's MLP projectors and a mixture of edits and examples",
            command="anyloom fit mini-plain --stage model",
            weights="weights-plain",
        ),
        RecipeSpec(
            name="mini-clips",
            package="anyloom_codi2",
            path="mini-clips.yaml",
            summary="mini-plain with a fourth modality, short clips, and what sounds with them",
            command="anyloom fit mini-clips --stage model",
        ),
        RecipeSpec(
            name="demo",
            package="anyloom_codi2",
            path="demo.yaml",
            summary="mini, with what 'anyloom demo' measures and shows",
            command="anyloom demo --from-scratch",
        ),
        RecipeSpec(
            name="lesson",
            package="anyloom_codi2",
            path="lesson.yaml",
            summary="teaches the trained small model an edit it never saw",
            command="anyloom demo",
        ),
        RecipeSpec(
            name="in-context",
            package="anyloom_codi2",
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
            target="anyloom_codi2.demo:main",
            summary="teach the small model something new, measure it on unseen subjects, write a report",
        )
    ]
