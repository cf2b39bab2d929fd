"""A step past transformers' layers gives what they give, to the last bit, and is taken only where it may be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, MistralConfig, MistralForCausalLM

from anyloom_llama.adapters import inject
from anyloom_llama.cache import LayerCache
from anyloom_llama.config import LoraOptions
from anyloom_llama.stepping import one_position, takes_steps

SIZES: dict[str, Any] = {
    "vocab_size": 20, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 4, "max_position_embeddings": 64,
}  # fmt: skip
SCALED = {"rope_type": "llama3", "rope_theta": 100.0, "factor": 2.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
          "original_max_position_embeddings": 16}  # fmt: skip


def llama(attention: str = "sdpa", **options: Any) -> LlamaForCausalLM:
    torch.manual_seed(0)
    model = LlamaForCausalLM(LlamaConfig(**{**SIZES, **options}, attn_implementation=attention)).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    return model


def whole(model: Any, x: torch.Tensor, places: torch.Tensor, real: torch.Tensor, cache: LayerCache) -> torch.Tensor:
    """What transformers' own forward gives."""
    output = model.base_model(
        inputs_embeds=x,
        attention_mask=real.long(),
        position_ids=places,
        past_key_values=cache.layers,
        use_cache=True,
    )
    hidden: torch.Tensor = output.last_hidden_state
    return hidden


@torch.no_grad()
def require_equal_steps(model: Any, padding: int, dtype: torch.dtype = torch.float32) -> None:
    """Read five positions of three rows, one padded on the left, then step three times by both ways."""
    model = model.to(dtype)
    assert takes_steps(model)
    rows, length = 3, 5
    x = torch.randn(rows, length + 3, SIZES["hidden_size"], generator=torch.Generator().manual_seed(1)).to(dtype)
    real = torch.ones(rows, length + 3, dtype=torch.bool)
    real[1, :padding] = False
    places = (real.cumsum(1) - 1).clamp_min(0)
    theirs, ours = LayerCache(), LayerCache()
    for cache in (theirs, ours):
        whole(model, x[:, :length], places[:, :length], real[:, :length], cache)
    for n in range(length, length + 3):
        step = (x[:, n : n + 1], places[:, n : n + 1], real[:, : n + 1])
        assert torch.equal(whole(model, *step, theirs), one_position(model, *step, ours))
    for one, other in zip(theirs.layers.layers, ours.layers.layers, strict=True):
        assert torch.equal(one.keys, other.keys)
        assert torch.equal(one.values, other.values)


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("padding", [0, 2])
@pytest.mark.parametrize(
    "options",
    [{}, {"num_key_value_heads": 2}, {"attention_bias": True, "mlp_bias": True}, {"rope_parameters": SCALED}],
    ids=["plain", "shared-keys", "biases", "scaled-places"],
)
def test_a_step_is_that_of_transformers_to_the_last_bit(attention: str, padding: int, options: dict[str, Any]) -> None:
    require_equal_steps(llama(attention, **options), padding)


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_a_step_in_half_precision_and_with_adapters_is_too(attention: str) -> None:
    require_equal_steps(llama(attention), 2, torch.bfloat16)
    require_equal_steps(inject(llama(attention), LoraOptions(rank=2, targets=("q_proj", "v_proj"))).eval(), 2)


def hooked(model: Any) -> None:
    model.model.layers[1].register_forward_pre_hook(lambda *given: None)


def replaced(model: Any) -> None:
    model.model.layers[0].mlp.forward = model.model.layers[0].mlp.forward


def compiled(model: Any) -> None:
    model.model.layers[0].compile(backend="eager")


@pytest.mark.parametrize("change", [hooked, replaced, compiled, lambda model: model.train()])
def test_what_hangs_on_a_layer_is_not_passed_over(change: Callable[[Any], Any]) -> None:
    model = llama()
    assert takes_steps(model)
    change(model)
    assert not takes_steps(model)


def test_other_architectures_take_their_own_way() -> None:
    assert not takes_steps(MistralForCausalLM(MistralConfig(**SIZES)).eval())
