"""Records of this plugin."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from anyloom.discovery import ComponentSpec, hookimpl


@hookimpl
def anyloom_components() -> list[ComponentSpec]:
    """One component: any causal LM that transformers' Auto classes know."""
    return [
        ComponentSpec(
            kind="llm",
            name="llama",
            target="anyloom_llama.llm:CausalLM",
            tiny="anyloom_llama.tiny:llm",
            requires=("transformers",),
            licence="Apache-2.0 (published weights: their own)",
            summary="Causal LM by transformers (Llama and others); full, frozen, LoRA or 4-bit LoRA training",
        )
    ]


@hookimpl
def anyloom_checks(config: Mapping[str, Any]) -> list[str]:
    """4-bit weights and training on a CPU do not go together."""
    llm = (config.get("model") or {}).get("llm") or {}
    on_cpu = (config.get("trainer") or {}).get("accelerator") == "cpu"
    if llm.get("name") != "llama" or not llm.get("load_in_4bit") or not on_cpu:
        return []
    return ["llm.load_in_4bit needs a GPU: on a CPU its gradients can be silently wrong; set it to false"]
