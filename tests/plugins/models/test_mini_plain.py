"""The small model of the paper's parts: trains by its recipe, and only what the paper trains."""

from __future__ import annotations

from pathlib import Path

import torch

from anyloom import AnyToAnyModel, Conversation, Message
from anyloom.cli.main import main
from anyloom.config.compose import compose
from anyloom.config.packages import shipped_weights
from anyloom.conversation import Text
from anyloom.storage.tensors import read_tensors
from anyloom_incontext.features import FeatureTable
from anyloom_starter.builder import StarterBuilder


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


def test_what_ships_edits_in_words_and_goes_on_from_its_own_answer() -> None:
    """Held-out subjects, few queries; at length 97 of 100 were right in words."""
    folder = shipped_weights("mini-plain")
    assert folder is not None
    model = AnyToAnyModel.from_pretrained(folder).eval()  # no trust is needed
    table = FeatureTable(model, "image")
    options = {"tasks": {"edit": 1}, "families": {"geometry": 1}, "num_queries": 16, "seed": 3}
    builder = StarterBuilder(StarterBuilder.Config(**options))
    right = unasked = 0
    for sample in builder.build("test"):
        source = sample.conversation.media[0]
        candidates = sample.provenance["candidates"]
        media = [builder.media(key) for key in candidates]
        table.add(media)
        for words, count in ((sample.conversation.messages[0].segments[1], True), (Text("Thank you."), False)):
            prompt = Conversation([Message("user", [source, words])])
            answer = model.generate(prompt, plan=("image",), decode=False)
            assert isinstance(answer, Message)
            made = answer.media[0].features
            assert made is not None
            nearest = int((table.get(media) - made.float().flatten()).square().sum(1).argmin())
            hit = candidates[nearest] == sample.provenance["target"][0]
            right, unasked = right + (hit and count), unasked + (hit and not count)
    assert right >= 12
    assert unasked <= 4


def test_its_weights_name_those_of_mini_beside_them() -> None:
    folder = shipped_weights("mini-plain")
    assert folder is not None
    assert (folder / "model.safetensors").stat().st_size < 10 * 2**20
    names = read_tensors(folder / "model.safetensors")
    assert {name.split(".")[0] for name in names} == {"llm", "representations"}
