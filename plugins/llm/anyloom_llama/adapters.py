"""Low-rank adapters (LoRA, arXiv 2106.09685) through peft."""

from __future__ import annotations

from typing import Any

from torch import nn

from anyloom.errors import ConfigError
from anyloom_llama.config import LoraOptions
from anyloom_llama.reason import reason

__all__ = ["inject"]


def inject(model: Any, options: LoraOptions) -> Any:
    """Put trainable adapters beside a causal LM's linear layers, and return it.

    They are float32 also where the model is half precision: a step of training is smaller than half precision resolves.

    Raises:
        anyloom.errors.ConfigError: The model has no layers of these names, or peft knows none for its architecture.
    """
    from peft import LoraConfig, inject_adapter_in_model
    from transformers.pytorch_utils import Conv1D

    lora = LoraConfig(
        r=options.rank,
        lora_alpha=options.alpha,
        lora_dropout=options.dropout,
        target_modules=list(options.targets) if options.targets else None,
        task_type="CAUSAL_LM",
        fan_in_fan_out=any(isinstance(m, Conv1D) for m in model.modules()),
    )
    try:
        model = inject_adapter_in_model(lora, model)
    except ValueError as error:
        layers = sorted({n.rpartition(".")[2] for n, m in model.named_modules() if isinstance(m, nn.Linear | Conv1D)})
        raise ConfigError(
            f"no layer can be adapted ({reason(error)})", where="lora.targets", fix=f"use some of {', '.join(layers)}"
        ) from error
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
    return model
