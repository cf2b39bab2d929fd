"""A causal LM of transformers that reads and returns embeddings."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from anyloom.errors import ConfigError
from anyloom.interfaces import LLM, LLMOutput
from anyloom_llama.adapters import inject
from anyloom_llama.config import CausalLMConfig
from anyloom_llama.four_bit import leave_base_out, refuse_cpu, stored_bytes
from anyloom_llama.loading import build, may_be_missing, read_config, read_tokenizer, read_weights
from anyloom_llama.tokenizer import ChatTokenizer

__all__ = ["CausalLM"]


class CausalLM(LLM):
    """Any causal LM of transformers' Auto classes, with rows of its own for added tokens.

    Added tokens do not enter the tokenizer: their ids follow the model's vocabulary and their embeddings are
    separate parameters. So old rows cannot move, tied or not, and no text can spell an added token.
    """

    Config = CausalLMConfig

    def __init__(self, config: CausalLMConfig) -> None:
        super().__init__(config)
        self._tokenizer = None if may_be_missing(config) and config.tokenizer is None else read_tokenizer(config)
        architecture = read_config(config, None if self._tokenizer is None else self._tokenizer.size)
        with torch.device("meta") if config.weights is not None else contextlib.nullcontext():
            self.lm = build(config, architecture)
        self.vocab_size: int = architecture.vocab_size
        self.hidden_size: int = architecture.hidden_size
        if self._tokenizer is not None and self._tokenizer.size > self.vocab_size:
            raise ConfigError(
                f"the tokenizer has {self._tokenizer.size} entries, the model only {self.vocab_size} rows",
                where="tokenizer",
                fix="use the model's own tokenizer, without added entries",
            )
        self.new_input_rows = nn.Parameter(torch.empty(0, self.hidden_size))
        self.new_output_rows = nn.Parameter(torch.empty(0, self.hidden_size))
        self._set_trainable()

    @property
    def tokenizer(self) -> ChatTokenizer:  # type: ignore[override]
        """The tokenizer; read when it is asked for where the checkpoint was not there before.

        Raises:
            anyloom.errors.CheckpointError: It still is not.
        """
        if self._tokenizer is None:
            self._tokenizer = read_tokenizer(self.config)
        return self._tokenizer

    @property
    def frozen(self) -> bool:
        """Whether the pretrained parameters stay fixed; adapters and rows of added tokens are trained all the same."""
        return bool(self.config.fixed)

    @property
    def portable(self) -> bool:
        """Whether a saved model can hold the pretrained parameters: not in 4 bits."""
        return not self.config.load_in_4bit

    def stored_bytes(self) -> int:
        """Bytes of all tensors once they are loaded."""
        if not self.config.load_in_4bit:
            return super().stored_bytes()
        rows = (self.new_input_rows, self.new_output_rows)
        return stored_bytes(self.lm, self.lm.get_output_embeddings()) + sum(r.numel() * r.element_size() for r in rows)

    def _set_trainable(self) -> None:
        config = self.config
        if config.fixed:
            self.lm.requires_grad_(False)
        if config.lora is not None:
            self.lm = inject(self.lm, config.lora)
        if config.gradient_checkpointing:
            new_name = getattr(self.lm, "activation_checkpointing_enable", None)
            (new_name or self.lm.gradient_checkpointing_enable)()

    def load_weights(self) -> None:
        """Read the published checkpoint, if the config names one.

        Raises:
            anyloom.errors.CheckpointError: It is missing, truncated, or has other tensors than the model.
            anyloom.errors.ConfigError: 4 bits are asked for and there is no GPU, or no bitsandbytes.
        """
        if self.config.weights is None:
            return
        self.lm = read_weights(self.config)
        self._set_trainable()
        if self.config.load_in_4bit:
            leave_base_out(self.lm)
        self._init_rows()

    def weight_files(self) -> list[Path]:
        """The checkpoint folder."""
        return [] if self.config.weights is None else [Path(self.config.weights)]

    def portable_options(self, folder: Path, name: str) -> dict[str, Any]:
        """Save the tokenizer beside the model and describe the architecture in full."""
        self.tokenizer.backend.save_pretrained(folder / name)
        architecture = self.lm.config.to_diff_dict()
        return {"weights": None, "architecture": architecture, "tokenizer": f"@/{name}"}

    def add_tokens(self, tokens: Sequence[str]) -> list[int]:
        """Give each token a row of its own, started at the mean of the old ones."""
        first = self.vocab_size + len(self.new_input_rows)
        shape = (len(self.new_input_rows) + len(tokens), self.hidden_size)
        self.new_input_rows = nn.Parameter(torch.empty(shape))
        self.new_output_rows = nn.Parameter(torch.empty(shape))
        self._init_rows()
        return list(range(first, first + len(tokens)))

    def _table(self) -> Tensor:
        table: Tensor = self.lm.get_input_embeddings().weight
        return table

    @torch.no_grad()
    def _init_rows(self) -> None:
        head = self.lm.get_output_embeddings().weight
        for rows, old in ((self.new_input_rows, self._table()), (self.new_output_rows, head)):
            if rows.numel() and not (rows.is_meta or old.is_meta):
                mean, std = old.float().mean(0).to(rows.device), old.float().std().to(rows.device)
                rows.copy_(mean + std * torch.randn_like(rows))

    def embed(self, ids: Tensor) -> Tensor:
        """Embeddings of old and added tokens."""
        old = self.lm.get_input_embeddings()(ids.clamp_max(self.vocab_size - 1))
        added = ids >= self.vocab_size
        if not bool(added.any()):
            return old
        return old.masked_scatter(added[..., None], self.new_input_rows[ids[added] - self.vocab_size].to(old.dtype))

    def forward(
        self,
        embeddings: Tensor,
        attention_mask: Tensor,
        position_ids: Tensor,
        cache: Any = None,
        use_cache: bool = False,
    ) -> LLMOutput:
        """One pass through the transformer without its head."""
        if self.config.load_in_4bit:
            refuse_cpu(embeddings.device.type)
        output = self.lm.base_model(
            inputs_embeds=embeddings,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=cache,
            use_cache=use_cache,
        )
        return LLMOutput(output.last_hidden_state, output.past_key_values if use_cache else None)

    def logits(self, hidden: Tensor) -> Tensor:
        """Scores over vocabulary and added tokens."""
        old = self.lm.get_output_embeddings()(hidden)
        return torch.cat([old, nn.functional.linear(hidden, self.new_output_rows.to(hidden.dtype))], -1)
