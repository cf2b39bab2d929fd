"""Samples without padding give what they give alone: hidden states and gradients; a window may make it impossible."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tests.plugins.llm.test_forward import built, read
from tests.plugins.llm.test_stepping import SCALED, llama
from torch import Tensor

from anyloom.interfaces import LLMInputs
from anyloom_llama.adapters import inject
from anyloom_llama.apart import Apart, sample_limit
from anyloom_llama.config import LoraOptions
from anyloom_llama.llm import CausalLM
from anyloom_llama.rows import one_row, takes_rows

LENGTHS = [5, 1, 9]


def gradients(model: Any, hidden: Tensor) -> dict[str, Tensor]:
    weights = torch.randn(hidden.shape, generator=torch.Generator().manual_seed(2))
    model.zero_grad()
    (hidden * weights).sum().backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize(
    "options",
    [{}, {"num_key_value_heads": 2}, {"attention_bias": True, "mlp_bias": True}, {"rope_parameters": SCALED}],
    ids=["plain", "shared-keys", "biases", "scaled-places"],
)
@pytest.mark.parametrize("adapters", [False, True])
def test_a_row_gives_what_transformers_gives_and_its_gradients(options: dict[str, Any], adapters: bool) -> None:
    model: Any = llama(**options)
    if adapters:
        model.requires_grad_(False)
        model = inject(model, LoraOptions(rank=2, targets=("q_proj", "up_proj")))
    assert takes_rows(model)
    x = torch.randn(1, sum(LENGTHS), model.config.hidden_size, generator=torch.Generator().manual_seed(1))
    mine, theirs = x.clone().requires_grad_(), x.clone().requires_grad_()
    places = torch.cat([torch.arange(n) for n in LENGTHS])[None]
    row = one_row(model, mine, places, LENGTHS)
    ours = gradients(model, row)
    alone = [
        model.base_model(inputs_embeds=part, position_ids=torch.arange(part.shape[1])[None], use_cache=False)[0]
        for part in theirs.split(LENGTHS, 1)
    ]
    torch.testing.assert_close(row, torch.cat(alone, 1), atol=1e-5, rtol=1e-5)
    expected = gradients(model, torch.cat(alone, 1))
    assert ours.keys() == expected.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(ours[name], gradient, atol=1e-3, rtol=1e-4, msg=name)
    torch.testing.assert_close(mine.grad, theirs.grad, atol=1e-3, rtol=1e-4)


def test_a_hook_on_a_layer_is_heard() -> None:
    model = llama().train()
    assert takes_rows(model)
    model.model.layers[1].register_forward_hook(lambda *given: None)
    assert not takes_rows(model)


@pytest.mark.parametrize("family", ["qwen2", "qwen3", "granite", "olmo2", "mixtral", "gpt2"])
def test_other_families_take_samples_apart_too(tokenizer_folder: Path, family: str) -> None:
    llm = built(tokenizer_folder, family, attention="sdpa")
    inputs = batch()
    assert llm._samples_apart(inputs) is not None
    check_alone(llm, inputs.ids, inputs.segments)


def test_samples_longer_than_a_window_are_masked(tokenizer_folder: Path) -> None:
    llm = built(tokenizer_folder, "mistral", attention="sdpa")
    assert sample_limit(llm.architecture) == 4
    llm._apart = True  # as for a window that is wider than the model on which it was tried
    inputs = batch()
    assert llm._samples_apart(inputs) is None
    check_alone(llm, inputs.ids, inputs.segments)


def test_recomputed_activations_change_nothing(tokenizer_folder: Path) -> None:
    llm = built(tokenizer_folder, "llama", attention="sdpa")
    again = built(tokenizer_folder, "llama", attention="sdpa", gradient_checkpointing=True).train()
    inputs = batch()
    hidden = [model(inputs).hidden[inputs.segments > 0] for model in (llm, again)]
    torch.testing.assert_close(*hidden, atol=1e-4, rtol=1e-4)
    ours, theirs = (gradients(model, states) for model, states in zip((llm, again), hidden, strict=True))
    torch.testing.assert_close(ours, theirs, atol=1e-3, rtol=1e-3)


def test_padding_holds_zeros() -> None:
    segments = torch.tensor([[0, 1, 1, 2], [1, 0, 0, 0]])
    apart = Apart.of(segments)
    assert apart.lengths == [2, 1, 1]
    cells = torch.arange(1.0, 17).view(2, 4, 2)
    assert torch.equal(apart.spread(apart.joined(cells)), cells * (segments > 0)[..., None])


def batch() -> LLMInputs:
    segments = torch.tensor([[1] * 9 + [2] * 6 + [0] * 2, [1] * 6 + [0] * 11])
    positions = torch.tensor([[*range(9), *range(6), 0, 0], [*range(6), *[0] * 11]])
    return LLMInputs(torch.randint(5, 200, segments.shape), positions, segments)


@torch.no_grad()
def check_alone(llm: CausalLM, ids: Tensor, segments: Tensor) -> None:
    together = read(llm, ids, segments).hidden
    for row, line in enumerate(segments):
        for sample in sorted(set(line.tolist()) - {0}):
            at = line == sample
            torch.testing.assert_close(together[row, at], read(llm, ids[row, at][None]).hidden[0], atol=1e-4, rtol=1e-4)
