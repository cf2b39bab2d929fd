"""Options of the causal LM."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, Literal

from pydantic import Field, PositiveFloat, field_validator, model_validator

from anyloom.interfaces import LLM, ComponentConfig
from anyloom.options import WrongOptionsError

__all__ = ["CausalLMConfig", "LoraOptions"]

_NUMBER: Final = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+")


class LoraOptions(ComponentConfig):
    """Low-rank adapters through peft, kept in float32 whatever the precision of the model.

    Args:
        rank: Rank r.
        alpha: Scale numerator.
        dropout: On the adapters' input.
        targets: Names of the linear layers; by default peft's choice for the architecture.
    """

    rank: int = Field(16, ge=1, le=16_384)
    alpha: PositiveFloat = 32.0
    dropout: float = Field(0.0, ge=0, lt=1)
    targets: tuple[str, ...] | None = None


class CausalLMConfig(LLM.Config):
    """Options.

    Args:
        weights: Folder or hub name of a published checkpoint.
        architecture: Configuration with its ``model_type``. Alone it describes a model to train from scratch. Beside
            ``weights`` it says what the checkpoint is, so that ``anyloom check`` can do without the files; once they
            are there, their own ``config.json`` counts.
        tokenizer: Folder of the tokenizer; by default that of ``weights``.
        chat_template: Jinja template that replaces the tokenizer's own.
        lora: Train low-rank adapters; the pretrained parameters stay fixed.
        load_in_4bit: Hold the pretrained linear layers in 4 bits (NF4, QLoRA, arXiv 2305.14314) through
            bitsandbytes. Needs a GPU, and ``lora`` or ``freeze``.
        load_in_8bit: Likewise in 8 bits (LLM.int8(), arXiv 2208.07339), which lose less.
        attention: Attention implementation; ``eager`` is the fastest to train on CPU at tiny sizes.
        dtype: Precision of the parameters; with 4 or 8 bits, that of the arithmetic.
        gradient_checkpointing: Recompute activations in the backward pass.
        download: Allow the hub to be asked for ``weights``; otherwise only local files are read.
    """

    weights: str | None = None
    architecture: dict[str, Any] | None = None
    tokenizer: str | None = None
    chat_template: str | None = None
    lora: LoraOptions | None = None
    load_in_4bit: bool = False
    load_in_8bit: bool = False
    attention: Literal["eager", "sdpa", "flash_attention_2"] = "sdpa"
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    gradient_checkpointing: bool = False
    download: bool = False

    @property
    def fixed(self) -> bool:
        """Whether the pretrained parameters stay as they are."""
        return self.freeze or self.lora is not None

    @property
    def bits(self) -> int | None:
        """Bits of the pretrained linear layers' weights, where they are fewer than those of ``dtype``."""
        return 4 if self.load_in_4bit else 8 if self.load_in_8bit else None

    @field_validator("architecture", mode="before")
    @classmethod
    def _numbers(cls, value: Any) -> Any:
        """Numbers that YAML takes for text because they have no point, such as 1e-5."""
        if isinstance(value, Mapping):
            return {key: cls._numbers(inner) for key, inner in value.items()}
        return float(value) if isinstance(value, str) and _NUMBER.fullmatch(value) else value

    @model_validator(mode="after")
    def _source(self) -> Any:
        if self.weights is None and self.architecture is None:
            raise ValueError("give 'weights', or an 'architecture' to train from scratch")
        if self.weights is None and self.tokenizer is None:
            raise ValueError("'architecture' needs a 'tokenizer'")
        return self

    @model_validator(mode="after")
    def _possible(self) -> Any:
        problems = {}
        option = f"load_in_{self.bits}bit"
        if self.load_in_4bit and self.load_in_8bit:
            problems[option] = "weights are held in 4 bits or in 8; set one of them to false"
        elif self.bits and self.weights is None:
            problems[option] = f"only pretrained 'weights' can be held in {self.bits} bits"
        elif self.bits and not self.fixed:
            problems[option] = f"weights in {self.bits} bits cannot be trained; add 'lora', or set 'freeze: true'"
        if self.attention == "flash_attention_2" and self.dtype == "float32":
            problems["attention"] = "flash attention computes in half precision; set 'dtype: bfloat16'"
        if problems:
            raise WrongOptionsError(problems)
        return self
