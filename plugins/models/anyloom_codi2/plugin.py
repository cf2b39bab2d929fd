"""Records of this plugin: recipes, and no code."""

from __future__ import annotations

from anyloom.discovery import RecipeSpec, hookimpl


@hookimpl
def anyloom_recipes() -> list[RecipeSpec]:
    """The paper's model in full size, several ways to train it, and the paper's data."""
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
    ]
