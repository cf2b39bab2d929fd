"""Tokenizers of strangers: how much longer than it is they may make a text, and what their library raises."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from anyloom.errors import CheckpointError, ConversationError
from anyloom.limits import limit
from anyloom_llama.reason import reason

__all__ = ["require_moderate", "tokenized"]


def require_moderate(backend: Any) -> None:
    """Refuse a tokenizer that writes a text many times longer before it reads it.

    Raises:
        anyloom.errors.CheckpointError: It does.
    """
    rust = getattr(backend, "backend_tokenizer", None)
    growth = 1
    for step in (getattr(rust, "normalizer", None), getattr(rust, "decoder", None)):
        growth *= _growth(json.loads(step.__getstate__())) if step is not None else 1
    if growth > limit("tokenizer-growth"):
        raise CheckpointError(
            f"its tokenizer.json replaces characters by texts up to {growth:,} times as long",
            where=str(getattr(backend, "name_or_path", "")),
            fix="use the tokenizer of the published model",
        )


def tokenized(backend: Any, text: str, **options: Any) -> Any:
    """Call a tokenizer, by default without the tokens that it puts around a text.

    Raises:
        anyloom.errors.ConversationError: It gives up, as where its patterns take for ever on a text.
    """
    try:
        return backend(text, **{"add_special_tokens": False, **options})
    except BaseException as error:  # panics of Rust are no Exception
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise ConversationError(
            f"the tokenizer cannot read this text ({reason(error)})",
            where=str(getattr(backend, "name_or_path", "")),
            fix="use the tokenizer of the published model",
        ) from error


def _growth(step: Any) -> int:
    """How many times longer the steps of a description may make a text, one after another."""
    product = 1
    for one in _mappings(step):
        content = one.get("content")
        if one.get("type") == "Replace" and isinstance(content, str):
            product *= max(1, len(content))
    return product


def _mappings(value: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(value, Mapping):
        yield value
        value = list(value.values())
    if isinstance(value, list):
        for inner in value:
            yield from _mappings(inner)
