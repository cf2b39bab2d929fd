"""FLOPs of a step against the closed form of a Llama, and what is not known."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from anyloom import AnyToAnyModel, Conversation, Message
from anyloom.interfaces import Sample
from anyloom.training.flops import counting, peak_flops
from parts import llm_options, model_options, picture


@pytest.mark.parametrize("again", [False, True])
def test_a_step_of_a_llama_costs_what_the_formula_says(tokenizer_folder: Path, again: bool) -> None:
    llm = llm_options(tokenizer_folder, gradient_checkpointing=again)
    model = AnyToAnyModel.from_config({"model": {"llm": llm, "encoders": {}, "modalities": {}}})
    sample = Sample(Conversation([Message("user", "make it blue"), Message("assistant", "a red heart")]), "t")
    batch = model.collator()([sample])
    with counting(model) as flops:
        model(batch).total().backward()
    length, labels = batch.ids.shape[1], len(batch.labels)
    hidden, inner, layers, vocabulary = 32, 64, 2, 320
    matrices = layers * (hidden * hidden * 2 + hidden * hidden + 3 * hidden * inner)  # two of the four heads are shared
    layer_passes, head = 2 * length * matrices + layers * 4 * length**2 * hidden, 2 * labels * vocabulary * hidden
    # What is computed again ends before the last product of each block, whose output nothing needs.
    again_passes = layer_passes - layers * 2 * length * hidden * inner if again else 0
    assert flops.components["model.llm"] == flops.total == 3 * layer_passes + again_passes + 3 * head
    assert flops.trained == ("model.llm",)
    assert flops.known


def test_frozen_components_are_no_part_of_what_is_trained(tokenizer_folder: Path) -> None:
    model = AnyToAnyModel.from_config({"model": model_options(tokenizer_folder, ("image",))})
    model.parts.encoders["eye"].requires_grad_(False)
    sample = Sample(Conversation([Message("user", ["what is this? ", picture(0)]), Message("assistant", "a")]), "t")
    with counting(model) as flops:
        model(model.collator()([sample])).total().backward()
    assert flops.components["model.encoders.eye"] == 2 * 48 * 8  # one picture, forward alone
    assert "model.encoders.eye" not in flops.trained
    assert flops.trainable + 2 * 48 * 8 == sum(flops.components.values())


def test_a_count_without_a_language_model_is_not_known() -> None:
    with counting(nn.Linear(2, 2)) as flops:
        torch.ones(1, 2)
    assert not flops.known
    assert peak_flops(torch.device("cpu")) == 0.0
