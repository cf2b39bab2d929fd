"""A causal LM of transformers that reads and returns embeddings."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from anyloom.errors import ConfigError
from anyloom.interfaces import LLM, LLMInputs, LLMOutput
from anyloom_llama.adapters import inject
from anyloom_llama.apart import Apart, attend_apart, places, sample_limit
from anyloom_llama.architecture import as_options
from anyloom_llama.cache import LayerCache, join
from anyloom_llama.config import CausalLMConfig
from anyloom_llama.few_bits import leave_base_out, refuse_cpu, stored_bytes
from anyloom_llama.loading import build, may_be_missing, read_config, read_tokenizer, read_weights
from anyloom_llama.packing import packed_positions, readable
from anyloom_llama.probe import behaviour
from anyloom_llama.rows import one_row, takes_rows
from anyloom_llama.stepping import one_position, takes_steps
from anyloom_llama.tokenizer import ChatTokenizer

__all__ = ["CausalLM"]


class CausalLM(LLM):
    """Any causal LM of transformers' Auto classes, with rows of its own for added tokens.

    Added tokens do not enter the tokenizer: their ids follow the model's vocabulary and their embeddings are
    separate parameters. So old rows cannot move, tied or not, and no text can spell an added token.

    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from anyloom_llama.tiny import llm as tiny
    >>> with TemporaryDirectory() as folder:
    ...     model = CausalLM.from_options(tiny(Path(folder)).options)  # Llama with one layer of width 16
    ...     model.hidden_size, model.add_tokens(["<image>"])
    (16, [280])
    """

    Config = CausalLMConfig

    def __init__(self, config: CausalLMConfig) -> None:
        super().__init__(config)
        self._tokenizer = None if may_be_missing(config) and config.tokenizer is None else read_tokenizer(config)
        self.architecture = read_config(config, None if self._tokenizer is None else self._tokenizer.size)
        found = behaviour(self.architecture, config.attention)
        with torch.device("meta") if config.weights is not None else contextlib.nullcontext():
            self.lm = build(config, self.architecture)
        self._scores, self._packs, self._apart, self._bits = found.scores, found.packs, found.apart, config.bits
        self._sample_limit = sample_limit(self.architecture)
        # Not those of the config: OPT may have narrower embeddings than layers, and tables are padded.
        self.vocab_size, self.hidden_size = self.lm.get_input_embeddings().weight.shape
        limits = (getattr(self.architecture, name, None) for name in ("max_position_embeddings", "max_seq_len"))
        self.max_positions: int | None = next((limit for limit in limits if limit is not None), None)
        if self._tokenizer is not None and self._tokenizer.size > self.vocab_size:
            raise ConfigError(
                f"the tokenizer has {self._tokenizer.size} entries, the model only {self.vocab_size} rows",
                where="tokenizer",
                fix="use the model's own tokenizer, without added entries",
            )
        self.new_tokens: list[str] = []
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
        """Whether a saved model can hold the pretrained parameters: not in few bits."""
        return self.config.bits is None

    def shard_units(self) -> list[nn.Module]:
        """The blocks: the first list of modules that is as long as the architecture says."""
        count = getattr(self.architecture, "num_hidden_layers", None)
        lists = (m for m in self.lm.modules() if isinstance(m, nn.ModuleList))
        return next((list(blocks) for blocks in lists if len(blocks) == count), [])

    def stored_bytes(self) -> int:
        """Bytes of all tensors once they are loaded."""
        return super().stored_bytes() if self.config.bits is None else self._bytes_in(self.config.bits)

    def memory_choices(self) -> dict[str, int]:
        """Bytes in 8 bits and in 4, where weights that stay as they are could be held so."""
        if self.config.weights is None or not self.config.fixed:
            return {}
        return {f"load_in_{bits}bit: true": self._bytes_in(bits) for bits in (8, 4) if bits != self.config.bits}

    def _bytes_in(self, bits: int) -> int:
        rows = (self.new_input_rows, self.new_output_rows)
        packed = stored_bytes(self.lm, self.lm.get_output_embeddings(), bits)
        return packed + sum(row.numel() * row.element_size() for row in rows)

    def _set_trainable(self) -> None:
        config = self.config
        if self._apart:
            attend_apart(self.lm)
        if config.fixed:
            self.lm.requires_grad_(False)
        if config.lora is not None:
            self.lm = inject(self.lm, config.lora)
        if config.gradient_checkpointing:
            if not self.lm.supports_gradient_checkpointing:
                raise ConfigError(
                    f"{self.lm.config.model_type!r} cannot recompute activations",
                    where="gradient_checkpointing",
                    fix="set it to false",
                )
            new_name = getattr(self.lm, "activation_checkpointing_enable", None)
            (new_name or self.lm.gradient_checkpointing_enable)()
            # Transformers makes the embeddings ask for gradients, which only reentrant recomputing needs. This is not
            # reentrant, and the question would part a compiled graph in two.
            if getattr(self.lm, "_require_grads_hooks", None):
                self.lm.disable_input_require_grads()

    def load_weights(self) -> None:
        """Read the published checkpoint, if the config names one.

        Raises:
            anyloom.errors.CheckpointError: It is missing, truncated, or has other tensors than the model.
            anyloom.errors.ConfigError: Few bits are asked for and there is no GPU, or no bitsandbytes.
        """
        if self.config.weights is None:
            return
        self.lm = read_weights(self.config, self.architecture)
        self._set_trainable()
        if self.config.bits:
            leave_base_out(self.lm)
        self._draw_rows()

    def weight_files(self) -> list[Path]:
        """The checkpoint folder."""
        return [] if self.config.weights is None else [Path(self.config.weights)]

    def portable_options(self, folder: Path, name: str) -> dict[str, Any]:
        """Save the tokenizer beside the model and describe the architecture in full."""
        self.tokenizer.backend.save_pretrained(folder / name)
        return {"weights": None, "architecture": as_options(self.lm.config), "tokenizer": f"@/{name}"}

    def add_tokens(self, tokens: Sequence[str]) -> list[int]:
        """Give each token a row of its own, drawn around the mean of the old ones."""
        known = len(self.new_tokens)
        self.new_tokens += tokens
        new = torch.empty(len(tokens), self.hidden_size)
        self.new_input_rows = nn.Parameter(torch.cat([self.new_input_rows.data, new]))
        self.new_output_rows = nn.Parameter(torch.cat([self.new_output_rows.data, new]))
        self._draw_rows(known)
        return list(range(self.vocab_size + known, self.vocab_size + known + len(tokens)))

    @torch.no_grad()
    def _draw_rows(self, first: int = 0) -> None:
        table, head = self.lm.get_input_embeddings().weight, self.lm.get_output_embeddings().weight
        for rows, old in ((self.new_input_rows, table), (self.new_output_rows, head)):
            if len(rows) > first and not (rows.is_meta or old.is_meta):
                mean, std = old.float().mean(0).to(rows.device), old.float().std().to(rows.device)
                rows[first:] = mean + std * torch.randn_like(rows[first:])

    def forward(self, x: LLMInputs) -> LLMOutput:
        """One causal pass.

        Raises:
            anyloom.errors.ConfigError: Weights of few bits are used on a CPU, or samples are packed into one row where
                the architecture cannot keep them apart.
            ValueError: A cache of packed samples is asked for.
        """
        if self._bits is not None:
            refuse_cpu(self._bits, x.ids.device.type)
        given = cast(LayerCache | None, x.cache)  # a cache goes back to the component that made it
        cache = given if given is not None else LayerCache() if x.keep_cache else None
        if given is not None and x.ids.shape[1] == 1 and not torch.is_grad_enabled() and takes_steps(self.lm):
            hidden = one_position(self.lm, self._embed(x), x.position_ids, x.segments > 0, given)
            return LLMOutput(hidden, self._logits_at(x, hidden), given)
        if cache is None and (apart := self._samples_apart(x)) is not None:
            row = self._row(apart.joined(self._embed(x)), apart.joined(x.position_ids), apart.lengths)
            hidden = apart.spread(row)
            return LLMOutput(hidden, self._logits_at(x, hidden))
        output = self.lm.base_model(
            inputs_embeds=self._embed(x),
            use_cache=cache is not None,
            past_key_values=None if cache is None else cache.layers,
            **self._places(x, cached=cache is not None),
        )
        hidden = output.last_hidden_state
        return LLMOutput(hidden, self._logits_at(x, hidden), cache)

    def _samples_apart(self, x: LLMInputs) -> Apart | None:
        """The samples of a batch, where attending to each by itself is the faster way: on a CPU."""
        if not self._apart or x.ids.device.type != "cpu" or torch.compiler.is_compiling():
            return None
        apart = Apart.of(x.segments)
        longest = max(apart.lengths, default=0)
        return apart if longest and longest <= (self._sample_limit or longest) else None

    def _row(self, embedded: Tensor, position_ids: Tensor, lengths: list[int]) -> Tensor:
        """Hidden states ``(1, T, H)`` of samples one behind another."""
        if not self.config.gradient_checkpointing and takes_rows(self.lm):
            return one_row(self.lm, embedded, position_ids, lengths)
        output = self.lm.base_model(inputs_embeds=embedded, use_cache=False, **places(position_ids, lengths))
        hidden: Tensor = output.last_hidden_state
        return hidden

    def _logits_at(self, x: LLMInputs, hidden: Tensor) -> Tensor | None:
        return None if x.logits_at is None else self._logits(hidden[x.logits_at[:, 0], x.logits_at[:, 1]])

    def _embed(self, x: LLMInputs) -> Tensor:
        """Embeddings ``(B, S, H)``: old rows, added rows, and placed vectors in place of either."""
        table = self.lm.get_input_embeddings()
        embedded: Tensor = table(x.ids.clamp_max(self.vocab_size - 1))
        if len(self.new_input_rows):
            added = F.embedding((x.ids - self.vocab_size).clamp_min(0), self.new_input_rows).to(embedded.dtype)
            scale = getattr(table, "embed_scale", 1.0)  # Gemma multiplies what its table gives, in its precision
            added = added * (scale.to(added.dtype) if isinstance(scale, Tensor) else scale)
            embedded = torch.where((x.ids >= self.vocab_size)[..., None], added, embedded)
        if x.vectors is None:
            return embedded
        return embedded.index_put((x.rows, x.positions), x.vectors.to(embedded.dtype))

    def _places(self, x: LLMInputs, *, cached: bool) -> dict[str, Tensor]:
        """What tells the model which positions read which."""
        if cached:
            if x.cache is None and int(x.segments.max()) > 1:
                raise ValueError("samples that share a row cannot be kept in a cache")
            return {"attention_mask": readable(x.segments), "position_ids": x.position_ids}
        if self._packs:
            return {"position_ids": packed_positions(x.position_ids, x.segments, self.max_positions)}
        if int(x.segments.max()) > 1:
            raise ConfigError(
                f"{self.lm.config.model_type!r} cannot keep samples in one row apart",
                where="data",
                fix="switch packing off, or use another architecture",
            )
        return {"attention_mask": readable(x.segments), "position_ids": x.position_ids}

    def _logits(self, hidden: Tensor) -> Tensor:
        """Scores ``(K, V)`` of hidden states ``(K, H)``, as the model's own forward makes them."""
        old = self.lm.get_output_embeddings()(hidden)
        if len(self.new_output_rows):
            old = torch.cat([old, F.linear(hidden, self.new_output_rows.to(hidden.dtype))], -1)
        return self._scores(old)

    def join(self, caches: Sequence[LayerCache]) -> LayerCache:  # type: ignore[override]
        """One cache with the rows of several, shorter ones padded with zeros on the left."""
        return join(caches)
