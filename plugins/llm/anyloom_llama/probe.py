"""What an architecture of transformers does, found out once on a small model of it.

The family's own code runs with the checkpoint's options, but few and narrow layers. So what is learned does not depend
on weights, devices or sharding, and costs milliseconds. An architecture that does not behave as a causal language model
of embeddings is refused by name.
"""

from __future__ import annotations

import copy
import functools
import json
import warnings
from dataclasses import dataclass
from itertools import product
from typing import Any, Final

import torch
from torch import Tensor, nn
from transformers import CONFIG_MAPPING, AutoModelForCausalLM, PretrainedConfig

from anyloom.errors import ConfigError
from anyloom_llama.cache import LayerCache
from anyloom_llama.packing import packed_positions
from anyloom_llama.reason import reason
from anyloom_llama.scores import Scores

__all__ = ["Behaviour", "behaviour"]

_LAYERS: Final = 2
_SMALL: Final = {
    "vocab_size": 24,
    "intermediate_size": 32,
    "moe_intermediate_size": 16,
    "shared_expert_intermediate_size": 16,
    "q_lora_rank": 16,
    "kv_lora_rank": 16,
    "num_hidden_layers": _LAYERS,
    "num_attention_heads": 4,
}
"""Sizes that bear on cost alone, where an architecture has them. Heads keep their width: rotary tables depend on it."""

_FACTORS: Final = ("logit_scale", "logits_scaling", "lm_head_multiplier", "output_multiplier")
_LENGTH: Final = 7
_LARGEST: Final = 40_000_000
"""Parameters of a small model; one that keeps more has sizes that are not known here."""

_Found = tuple[tuple[str | None, bool, bool], bool]
"""Name of the factor of its scores, whether it divides, whether there is a cap; whether samples are kept apart."""


@dataclass(frozen=True)
class Behaviour:
    """What was found.

    Args:
        scores: What its forward makes of its output layer's results.
        packs: Whether it keeps samples in one row apart.
    """

    scores: Scores
    packs: bool


def behaviour(architecture: PretrainedConfig, attention: str) -> Behaviour:
    """What a model of this architecture does.

    Args:
        architecture: Its configuration.
        attention: Attention implementation; what needs a GPU is tried as ``sdpa``.

    Raises:
        anyloom.errors.ConfigError: It is no causal language model that reads embeddings, and why.
    """
    text = architecture.get_text_config(decoder=True)
    if text is not architecture:
        raise ConfigError(
            f"{architecture.model_type!r} is more than a language model",
            where="architecture.model_type",
            fix=f"use the language model in it: {text.model_type}",
        )
    options = json.dumps(architecture.to_diff_dict(), sort_keys=True)
    asked = "eager" if attention == "eager" else "sdpa"
    found = _found(architecture.model_type, options, asked)
    if (
        isinstance(found, str)
        and asked == "sdpa"
        and not isinstance(_found(architecture.model_type, options, "eager"), str)
    ):
        raise ConfigError(
            f"{architecture.model_type!r} does not work with this attention ({found})",
            where="attention",
            fix="set 'attention: eager'",
        )
    if isinstance(found, str):
        raise ConfigError(
            f"{architecture.model_type!r} cannot be used here: {found}",
            where="architecture.model_type",
            fix="use a decoder-only language model, such as llama, qwen3, gemma3, gpt2 or mistral",
        )
    scaling, packs = found
    scores = _scores(architecture, *scaling)
    assert scores is not None
    return Behaviour(scores, packs)


@functools.lru_cache(maxsize=64)
def _found(model_type: str, options: str, attention: str) -> _Found | str:
    """What is found for options as JSON."""
    with torch.random.fork_rng(devices=[]), torch.device("cpu"), torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            small = _small(CONFIG_MAPPING[model_type].from_dict(json.loads(options)))
            with torch.device("meta"):
                size = sum(p.numel() for p in AutoModelForCausalLM.from_config(small).parameters())
            if size > _LARGEST:
                return f"{size:,} parameters are left of it at a small size"
            model = _model(small, attention)
        except Exception as error:
            return f"it cannot be built with these options ({type(error).__name__}: {reason(error)})"
        try:
            return _look(model)
        except Exception as error:
            return f"it does not run on embeddings ({type(error).__name__}: {reason(error)})"


def _small(architecture: PretrainedConfig) -> PretrainedConfig:
    """The same options with few and narrow layers."""
    small = copy.deepcopy(architecture)
    heads = getattr(small, "num_attention_heads", None) or 1
    few = {"hidden_size": small.hidden_size // heads * 4}
    if isinstance(getattr(small, "num_key_value_heads", None), int):
        few["num_key_value_heads"] = 2 if small.num_key_value_heads < heads else 4
    for name, size in {**few, **_SMALL}.items():
        if isinstance(getattr(small, name, None), int):
            setattr(small, name, min(size, getattr(small, name)))
    for name in ("layer_types", "mlp_layer_types"):
        if isinstance(getattr(small, name, None), list) and not isinstance(getattr(type(small), name, None), property):
            setattr(small, name, _some_of_each(getattr(small, name), _LAYERS))
    for name in ("pad_token_id", "bos_token_id", "eos_token_id"):
        setattr(small, name, None)
    return small


def _model(small: PretrainedConfig, attention: str) -> Any:
    """A model whose scores are large enough to show a cap."""
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(small, attn_implementation=attention, dtype=torch.float32).eval()
    for parameter in model.parameters():
        if parameter.ndim > 1:
            nn.init.normal_(parameter, std=0.3)
    return model


def _some_of_each(kinds: list[str], count: int) -> list[str]:
    """As many layers, of as many kinds as there is room for."""
    return [*dict.fromkeys(kinds), *kinds][:count]


def _look(model: Any) -> _Found | str:
    table, head = model.get_input_embeddings(), model.get_output_embeddings()
    if table is None or head is None:
        return "it has no table of tokens or no output layer"
    ids = torch.randint(0, table.weight.shape[0], (2, _LENGTH))
    scale = getattr(table, "embed_scale", 1.0)
    if not _close(table(ids), table.weight[ids] * scale):
        return "its embeddings are not rows of a table"
    x, positions = table(ids), torch.arange(_LENGTH).expand(2, -1)
    hidden = _hidden(model, x, positions)
    changed = x.clone()
    changed[:, -1] = x[:, -1].flip(-1)
    if not _close(_hidden(model, changed, positions)[:, :-1], hidden[:, :-1]):
        return "it is not causal: its positions read what comes after them"
    scaling = _scaling(model, head(hidden), model(input_ids=ids, position_ids=positions).logits)
    if scaling is None:
        return "its scores are not its output layer's, scaled or capped"
    if not _close(_cached(model, x, positions), hidden):
        return "a cache changes what it computes"
    return scaling, _packs(model, x)


def _hidden(model: Any, x: Tensor, positions: Tensor, **more: Any) -> Tensor:
    output = model.base_model(inputs_embeds=x, position_ids=positions, **{"use_cache": False, **more})
    hidden: Tensor = output.last_hidden_state
    return hidden


def _cached(model: Any, x: Tensor, positions: Tensor) -> Tensor:
    """Hidden states of two calls, the second with the first's cache."""
    cache, cut, mask = LayerCache(), _LENGTH // 2, torch.ones(2, _LENGTH, dtype=torch.long)
    parts = [
        _hidden(
            model,
            x[:, part],
            positions[:, part],
            attention_mask=mask[:, : part.stop],
            past_key_values=cache.layers,
            use_cache=True,
        )
        for part in (slice(0, cut), slice(cut, _LENGTH))
    ]
    return torch.cat(parts, 1) if cache.length == _LENGTH else torch.zeros_like(x)


def _scaling(model: Any, found: Tensor, own: Tensor) -> tuple[str | None, bool, bool] | None:
    """Which options turn the output layer's results into the model's own scores.

    Returns:
        Name of the factor's option, whether it divides, whether there is a cap. Not their values: an option may follow
        from sizes that are smaller here.
    """
    for name, divides, capped in product((None, *_FACTORS), (False, True), (False, True)):
        scores = _scores(model.config, name, divides, capped)
        if scores is not None and _close(scores(found), own):
            return name, divides, capped
    return None


def _scores(config: PretrainedConfig, name: str | None, divides: bool, capped: bool) -> Scores | None:
    factor = 1.0 if name is None else getattr(config, name, None)
    cap = getattr(config, "final_logit_softcapping", None) if capped else None
    if not isinstance(factor, int | float) or factor == 0 or (capped and cap is None):
        return None
    return Scores(1.0 / factor if divides else float(factor), cap)


def _packs(model: Any, x: Tensor) -> bool:
    """Whether two samples in one row, and padding behind them, give what they give alone."""
    first, second = x[:1], x[1:, :4]
    lengths = [first.shape[1], second.shape[1]]
    segments = torch.tensor([[1] * lengths[0] + [2] * lengths[1] + [0, 0]])
    positions = torch.cat([*map(torch.arange, lengths), torch.zeros(2, dtype=torch.long)])[None]
    row = torch.cat([first, second, first[:, :2]], 1)
    packed = _hidden(model, row, packed_positions(positions, segments, None))
    alone = [_hidden(model, part, torch.arange(part.shape[1])[None]) for part in (first, second)]
    return _close(packed[:, : sum(lengths)], torch.cat(alone, 1))


def _close(first: Tensor, second: Tensor) -> bool:
    return first.shape == second.shape and torch.allclose(first, second, atol=1e-4, rtol=1e-4)
