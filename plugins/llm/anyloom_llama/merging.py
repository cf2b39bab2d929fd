"""The language model of a trained model as others read it: an adapter of peft, or a checkpoint of transformers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from anyloom.errors import CheckpointError
from anyloom.storage.tensors import write_tensors
from anyloom_llama.llm import CausalLM

__all__ = ["write_adapter", "write_merged"]


def write_adapter(llm: CausalLM, folder: Path) -> None:
    """Write the low-rank adapters as peft does, for ``PeftModel.from_pretrained(base_model, folder)``.

    Rows of added tokens belong to no adapter; they are written beside it (``added_tokens.safetensors``, with the tokens
    in its metadata), where :func:`anyloom.storage.tensors.read_tensors` reads them.

    Args:
        llm: Trained with ``lora``.
        folder: An empty folder.

    Raises:
        anyloom.errors.CheckpointError: There are no adapters.
    """
    from peft import LoraConfig
    from peft.tuners.tuners_utils import BaseTunerLayer

    if llm.config.lora is None:
        raise CheckpointError("this model was trained without adapters", where="--to peft", fix="use --to merged")
    adapted = {name: layer for name, layer in llm.lm.named_modules() if isinstance(layer, BaseTunerLayer)}
    options = llm.config.lora
    LoraConfig(
        base_model_name_or_path=llm.config.weights,
        r=options.rank,
        lora_alpha=options.alpha,
        lora_dropout=options.dropout,
        target_modules=sorted({name.rpartition(".")[2] for name in adapted}),
        task_type="CAUSAL_LM",
        fan_in_fan_out=any(layer.fan_in_fan_out for layer in adapted.values()),
        inference_mode=True,
    ).save_pretrained(folder)
    tensors = {
        "base_model.model." + name.replace(".default.", "."): parameter.detach()
        for name, parameter in llm.lm.named_parameters()
        if ".lora_" in name
    }
    write_tensors(tensors, folder / "adapter_model.safetensors", {"format": "pt"})
    rows = {"input_rows": llm.new_input_rows.detach(), "output_rows": llm.new_output_rows.detach()}
    write_tensors(rows, folder / "added_tokens.safetensors", {"format": "pt", "tokens": " ".join(llm.new_tokens)})


def write_merged(llm: CausalLM, folder: Path) -> None:
    """Write a checkpoint with adapters merged and added tokens in table and tokenizer.

    The model is changed: it is what was written afterwards.

    Args:
        llm: Any but one in few bits.
        folder: An empty folder.

    Raises:
        anyloom.errors.CheckpointError: The weights are in few bits, or the tokenizer has one of the added tokens.
    """
    if llm.config.bits:
        raise CheckpointError(
            f"adapters cannot be merged into weights in {llm.config.bits} bits without loss",
            where="--to merged",
            fix="use --to peft, and merge it into the model in full precision",
        )
    _merge(llm.lm)
    tokenizer = llm.tokenizer.backend
    known = [token for token in llm.new_tokens if token in tokenizer.get_vocab()]
    if known:
        raise CheckpointError(
            f"the tokenizer has a token {known[0]} of its own", where="--to merged", fix="use --to peft"
        )
    tokenizer.add_tokens(llm.new_tokens, special_tokens=True)
    tokenizer.chat_template = llm.tokenizer.template.source
    _write_rows(llm, tokenizer.convert_tokens_to_ids(llm.new_tokens), max(llm.vocab_size, len(tokenizer)))
    llm.lm.generation_config.eos_token_id = list(llm.tokenizer.stop_ids)
    llm.lm.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _merge(model: nn.Module) -> None:
    """Put adapters into the layers they stand beside."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    for name, layer in list(model.named_modules()):
        if isinstance(layer, BaseTunerLayer):
            layer.merge(safe_merge=True)
            parent, _, own = name.rpartition(".")
            setattr(model.get_submodule(parent), own, layer.get_base_layer())


@torch.no_grad()
def _write_rows(llm: CausalLM, ids: list[int], size: int) -> None:
    """Write the rows of added tokens into tables of ``size`` rows; a table that serves twice becomes two."""
    model: Any = llm.lm
    table, head = model.get_input_embeddings(), model.get_output_embeddings()
    if head.weight is table.weight and ids:
        head.weight = nn.Parameter(table.weight.detach().clone())
        model.config.tie_word_embeddings = False
    model.resize_token_embeddings(size, mean_resizing=False)
    table, head = model.get_input_embeddings(), model.get_output_embeddings()
    table.weight[ids] = llm.new_input_rows.to(table.weight)
    head.weight[ids] = llm.new_output_rows.to(head.weight)
    if getattr(head, "bias", None) is not None:
        head.bias[ids] = 0.0
