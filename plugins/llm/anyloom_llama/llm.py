"""A causal LM of transformers that reads and returns embeddings."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import Field, PositiveFloat, PositiveInt, model_validator
from torch import Tensor, nn
from transformers import CONFIG_MAPPING, AutoConfig, AutoModelForCausalLM, AutoTokenizer, PretrainedConfig

from anyloom.errors import CheckpointError, ConfigError, nearest
from anyloom.interfaces import LLM, ComponentConfig, LLMOutput
from anyloom_llama.tokenizer import ChatTokenizer

__all__ = ["CausalLM"]


class LoraOptions(ComponentConfig):
    """Low-rank adapters through peft.

    Args:
        rank: Rank r.
        alpha: Scale numerator.
        dropout: On the adapters' input.
        targets: Names of the linear layers; by default peft's choice for the architecture.
    """

    rank: PositiveInt = 16
    alpha: PositiveFloat = 32.0
    dropout: float = Field(0.0, ge=0, lt=1)
    targets: tuple[str, ...] | None = None


class CausalLM(LLM):
    """Any causal LM of transformers' Auto classes, with rows of its own for added tokens.

    Added tokens do not enter the tokenizer: their ids follow the model's vocabulary and their embeddings are
    separate parameters. So old rows cannot move, tied or not, and no text can spell an added token.
    """

    class Config(LLM.Config):
        """Options.

        Args:
            weights: Folder or hub name of a published checkpoint.
            architecture: Configuration of a model to train from scratch, with its ``model_type``.
            tokenizer: Folder of the tokenizer; by default that of ``weights``.
            chat_template: Jinja template that replaces the tokenizer's own.
            lora: Train low-rank adapters; the pretrained parameters stay fixed.
            attention: Attention implementation; ``eager`` is the fastest to train on CPU at tiny sizes.
            dtype: Precision of the parameters.
            gradient_checkpointing: Recompute activations in the backward pass.
            download: Allow the hub to be asked for ``weights``; otherwise only local files are read.
        """

        weights: str | None = None
        architecture: dict[str, Any] | None = None
        tokenizer: str | None = None
        chat_template: str | None = None
        lora: LoraOptions | None = None
        attention: Literal["eager", "sdpa", "flash_attention_2"] = "sdpa"
        dtype: Literal["float32", "bfloat16", "float16"] = "float32"
        gradient_checkpointing: bool = False
        download: bool = False

        @model_validator(mode="after")
        def _source(self) -> Any:
            if (self.weights is None) == (self.architecture is None):
                raise ValueError("give either 'weights' or 'architecture'")
            if self.weights is None and self.tokenizer is None:
                raise ValueError("'architecture' needs a 'tokenizer'")
            return self

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        backend = _local(config, AutoTokenizer.from_pretrained, config.tokenizer or config.weights)
        self.tokenizer = ChatTokenizer(backend, config.chat_template)
        hf_config = self._hf_config()
        with torch.device("meta") if config.weights is not None else contextlib.nullcontext():
            self.lm = AutoModelForCausalLM.from_config(
                hf_config, attn_implementation=config.attention, dtype=getattr(torch, config.dtype)
            )
        self.vocab_size: int = hf_config.vocab_size
        self.hidden_size: int = hf_config.hidden_size
        if self.tokenizer.size > self.vocab_size:
            raise ConfigError(
                f"the tokenizer has {self.tokenizer.size} entries, the model only {self.vocab_size} rows",
                where="tokenizer",
                fix="use the model's own tokenizer, without added entries",
            )
        self.new_input_rows = nn.Parameter(torch.empty(0, self.hidden_size))
        self.new_output_rows = nn.Parameter(torch.empty(0, self.hidden_size))
        self._set_trainable()

    def _hf_config(self) -> PretrainedConfig:
        if self.config.architecture is None:
            return _local(self.config, AutoConfig.from_pretrained, self.config.weights)
        options = dict(self.config.architecture)
        kind = options.pop("model_type", None)
        if kind is None:
            raise ConfigError("'architecture' needs a 'model_type'", where="architecture", fix="for example llama")
        try:
            return AutoConfig.for_model(kind, **{"vocab_size": self.tokenizer.size, **options})
        except ValueError as error:
            fix = nearest(kind, CONFIG_MAPPING) or "use a model type of transformers, such as llama"
            raise ConfigError(
                f"no architecture is called {kind!r}", where="architecture.model_type", fix=fix
            ) from error

    def _set_trainable(self) -> None:
        config = self.config
        if config.freeze or config.lora is not None:
            self.lm.requires_grad_(False)
        if config.lora is not None:
            from peft import LoraConfig, inject_adapter_in_model
            from transformers.pytorch_utils import Conv1D

            lora = LoraConfig(
                r=config.lora.rank,
                lora_alpha=config.lora.alpha,
                lora_dropout=config.lora.dropout,
                target_modules=list(config.lora.targets) if config.lora.targets else None,
                task_type="CAUSAL_LM",
                fan_in_fan_out=any(isinstance(m, Conv1D) for m in self.lm.modules()),
            )
            self.lm = inject_adapter_in_model(lora, self.lm)
        if config.gradient_checkpointing:
            new_name = getattr(self.lm, "activation_checkpointing_enable", None)
            (new_name or self.lm.gradient_checkpointing_enable)()

    def load_weights(self) -> None:
        """Read the published checkpoint, if the config names one."""
        if self.config.weights is None:
            return
        self.lm = _local(
            self.config,
            AutoModelForCausalLM.from_pretrained,
            self.config.weights,
            use_safetensors=True,
            attn_implementation=self.config.attention,
            dtype=getattr(torch, self.config.dtype),
        )
        self._set_trainable()
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
                rows.copy_(old.float().mean(0) + old.float().std() * torch.randn_like(rows))

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


def _local(config: CausalLM.Config, load: Any, source: str | None, **options: Any) -> Any:
    """Call a ``from_pretrained`` with local files only, unless the config allows a download."""
    try:
        return load(source, local_files_only=not config.download, **options)
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"cannot be read ({str(error).splitlines()[0]})",
            where=str(source),
            fix="give the folder of the files, or set 'download: true' to fetch them",
        ) from error
