"""The small model of the paper's parts: trains by its recipe, and only what the paper trains."""

from __future__ import annotations

from pathlib import Path

import torch

from anyloom.cli.main import main
from anyloom.config.compose import compose
from anyloom.storage.tensors import read_tensors


def test_nothing_of_the_hand_built_representation_is_left() -> None:
    for name, modality in compose(["mini-plain"])["model"]["modalities"].items():
        mlp = {"name": "mlp", "hidden_dim": 768 if name == "image" else 384}
        assert modality["representation"] == {
            "name": "autoregressive", "input_projector": mlp, "output_projector": mlp, "feature_noise": 0.2,
        }  # fmt: skip


def trained(folder: Path, steps: int) -> dict[str, torch.Tensor]:
    short = [f"stages.model.trainer.max_steps={steps}", "variables.conversations.num_samples=300", "data.batch_size=24"]
    words = [
        "mini-plain",
        "--stage",
        "model",
        f"variables.run={folder}",
        *short,
        f"trainer.default_root_dir={folder}",
    ]
    assert main(["fit", *words]) == 0
    return read_tensors(folder / "language" / "model.safetensors")


def test_its_language_stage_trains_projectors_and_language_model_and_nothing_else(tmp_path: Path) -> None:
    one, three = trained(tmp_path / "one", 1), trained(tmp_path / "three", 3)
    assert one.keys() == three.keys()
    moved = {n for n in one if one[n].is_floating_point() and not torch.equal(one[n], three[n])}
    assert {n.split(".")[0] for n in moved} == {"llm", "representations"}
    for modality in ("image", "audio"):
        for way in ("input", "output"):
            assert any(n.startswith(f"representations.{modality}.{way}_projector.") for n in moved)
