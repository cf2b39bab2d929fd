"""Low-rank adapters (LoRA, arXiv 2106.09685) through peft."""

from __future__ import annotations

from typing import Any

from anyloom_llama.config import LoraOptions

__all__ = ["inject"]


def inject(model: Any, options: LoraOptions) -> Any:
    """Put trainable adapters beside a causal LM's linear layers, and return it.

    They are float32 also where the model is half precision: a step of training is smaller than half precision resolves.
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
    model = inject_adapter_in_model(lora, model)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
    return model
