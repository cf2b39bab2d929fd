"""What an architecture of transformers does, found out once on a small model of it.

What is learned so depends on no weights, devices or sharding, and costs milliseconds. An architecture that does not
behave as a causal language model of embeddings is refused by name.
"""

from __future__ import annotations

import functools
import json
import warnings
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor
from transformers import CONFIG_MAPPING, PretrainedConfig

from anyloom.errors import ConfigError
from anyloom_llama.apart import attend_apart, places, sample_limit
from anyloom_llama.cache import LayerCache
from anyloom_llama.packing import packed_positions
from anyloom_llama.reason import reason
from anyloom_llama.scores import RULES, ScoreRule, Scores
from anyloom_llama.small import small_model

__all__ = ["Behaviour", "behaviour"]

_LENGTH: Final = 7


@dataclass(frozen=True)
class Behaviour:
    """What was found.

    Args:
        scores: What its forward makes of its output layer's results.
        packs: Whether it keeps samples in one row apart.
        apart: Whether it does so without padding and without a mask, by attention to each sample.
    """

    scores: Scores
    packs: bool
    apart: bool


@dataclass(frozen=True)
class _Found:
    rule: ScoreRule
    packs: bool
    apart: bool


class _Unbuilt(str):
    """Why its options cannot be: the family may be right."""


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
    if isinstance(found, str) and not isinstance(_found(architecture.model_type, options, "eager"), str):
        raise ConfigError(
            f"{architecture.model_type!r} does not work with this attention ({found})",
            where="attention",
            fix="set 'attention: eager'",
        )
    if isinstance(found, _Unbuilt):
        raise ConfigError(
            f"{architecture.model_type!r} cannot be built with these options ({found})",
            where="architecture",
            fix="compare them with a published config.json of this family",
        )
    if isinstance(found, str):
        raise ConfigError(
            f"{architecture.model_type!r} cannot be used here: {found}",
            where="architecture.model_type",
            fix="use a decoder-only language model, such as llama, qwen3, gemma3, gpt2 or mistral",
        )
    scores = found.rule.of(architecture)
    assert scores is not None  # the small model has the same options
    return Behaviour(scores, found.packs, found.apart)


@functools.lru_cache(maxsize=64)
def _found(model_type: str, options: str, attention: str) -> _Found | str:
    """What is found for options as JSON, or why the architecture cannot be used."""
    with torch.random.fork_rng(devices=[]), torch.device("cpu"), torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            model = small_model(CONFIG_MAPPING[model_type].from_dict(json.loads(options)), attention)
        except Exception as error:  # families check their sizes in ways of their own
            return _Unbuilt(f"{type(error).__name__}: {reason(error)}")
        try:
            return _look(model)
        except Exception as error:
            return f"it does not run on embeddings ({type(error).__name__}: {reason(error)})"


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
    given, own = head(hidden), model(input_ids=ids, position_ids=positions).logits
    rule = next((r for r in RULES if (scores := r.of(model.config)) and _close(scores(given), own)), None)
    if rule is None:
        return "its scores are not its output layer's, scaled or capped"
    if not _close(_cached(model, x, positions), hidden):
        return "a cache changes what it computes"
    packs = _packs(model, x)
    return _Found(rule, packs, packs and _keeps_apart(model, x))


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


def _keeps_apart(model: Any, x: Tensor) -> bool:
    """Whether attention to each sample gives what samples give alone. The model attends so from then on."""
    limit = sample_limit(model.config)
    if model.config._attn_implementation != "sdpa" or (limit is not None and limit < _LENGTH):
        return False
    first, second = x[:1], x[1:, :4]
    alone = [_hidden(model, part, torch.arange(part.shape[1])[None]) for part in (first, second)]
    lengths = [part.shape[1] for part in (first, second)]
    positions = torch.cat([torch.arange(length) for length in lengths])[None]
    try:
        attend_apart(model)
        told = places(positions, lengths)
        found = _hidden(model, torch.cat([first, second], 1), told.pop("position_ids"), **told)
    except Exception:  # families that build masks of their own
        return False
    return _close(found, torch.cat(alone, 1))


def _close(first: Tensor, second: Tensor) -> bool:
    return first.shape == second.shape and torch.allclose(first, second, atol=1e-4, rtol=1e-4)
