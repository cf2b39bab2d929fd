"""Which tensors of a model come from files of their own and never change: a checkpoint need not repeat them."""

from __future__ import annotations

from anyloom.model.model import AnyToAnyModel

__all__ = ["refilled_keys"]


def refilled_keys(model: AnyToAnyModel) -> set[str]:
    """Return the state-dict keys that building the model from its config fills again.

    That is all of a frozen encoder or decoder with weight files, and the fixed parameters of a language model with
    weight files. Other parameters of it (adapters, rows of added tokens) are trained.
    """
    keys: set[str] = set()
    for part in model.parts.components():
        if part.fixed and part.component.weight_files():
            keys |= {f"parts.{part.prefix}.{key}" for key in part.component.state_dict()}
    if model.llm.weight_files():
        named = model.llm.named_parameters(remove_duplicate=False)
        keys |= {f"parts.llm.{key}" for key, parameter in named if not parameter.requires_grad}
    return keys
