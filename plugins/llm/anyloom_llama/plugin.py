"""Records of this plugin."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from anyloom.discovery import CommandSpec, ComponentSpec, hookimpl


@hookimpl
def anyloom_components() -> list[ComponentSpec]:
    """One component by two names: any causal LM that transformers' Auto classes know."""
    return [
        ComponentSpec(
            kind="llm",
            name=name,
            target="anyloom_llama.llm:CausalLM",
            tiny=tiny,
            requires=("transformers",),
            licence="Apache-2.0 (published weights: their own)",
            summary=summary,
        )
        for name, tiny, summary in (
            (
                "causal-lm",
                "anyloom_llama.tiny:llm",
                "Causal LM by transformers (Llama, Qwen, Gemma, Mistral, GPT-2, ...); full, frozen, LoRA or 4-bit LoRA",
            ),
            ("llama", "", "Older name of causal-lm"),
        )
    ]


@hookimpl
def anyloom_commands() -> list[CommandSpec]:
    """What others can read: the language model of a saved model as a folder of its own."""
    return [
        CommandSpec(
            name="export",
            target="anyloom_llama.export:main",
            summary="write the language model of a saved model for transformers and peft",
        )
    ]


@hookimpl
def anyloom_checks(config: Mapping[str, Any]) -> list[str]:
    """Weights of few bits and a CPU do not go together."""
    llm = (config.get("model") or {}).get("llm") or {}
    on_cpu = (config.get("trainer") or {}).get("accelerator") == "cpu"
    if llm.get("name") not in ("causal-lm", "llama") or not on_cpu:
        return []
    reasons = {
        "load_in_4bit": "on a CPU its gradients can be silently wrong",
        "load_in_8bit": "its kernels are made for one",
    }
    return [f"llm.{name} needs a GPU: {why}; set it to false" for name, why in reasons.items() if llm.get(name)]
