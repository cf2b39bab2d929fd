"""Records of this plugin."""

from __future__ import annotations

from anyloom.discovery import ComponentSpec, hookimpl


@hookimpl
def anyloom_components() -> list[ComponentSpec]:
    """One component: any causal LM that transformers' Auto classes know."""
    return [
        ComponentSpec(
            kind="llm",
            name="llama",
            target="anyloom_llama.llm:CausalLM",
            requires=("transformers",),
            licence="Apache-2.0",
            summary="Causal LM by transformers (Llama and others); full, frozen or LoRA training",
        )
    ]
