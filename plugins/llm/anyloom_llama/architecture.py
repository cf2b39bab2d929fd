"""The configuration of a causal LM: from options that a user writes, or from a published ``config.json``.

Both are data. Options are checked key by key, since transformers keeps whatever it does not know. Of a published file
only what its family knows is used: nothing in it names code, kernels or other files.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from transformers import CONFIG_MAPPING, PretrainedConfig

from anyloom.errors import AnyloomError, CheckpointError, ConfigError, combine, nearest
from anyloom_llama.reason import reason

__all__ = ["as_options", "from_options", "from_published"]

_LIMITS: Final = {
    "num_hidden_layers": 1_000,
    "num_attention_heads": 10_000,
    "hidden_size": 1_000_000,
    "intermediate_size": 10_000_000,
    "vocab_size": 100_000_000,
    "head_dim": 1_000_000,
    "num_local_experts": 10_000,
    "num_experts": 10_000,
    "n_routed_experts": 10_000,
}
"""Far above any model there is: a file of a thousand bytes must not keep a machine busy for hours."""

_ROTARY: Final = {"rope_theta", "rope_scaling", "partial_rotary_factor", "rotary_pct", "rotary_emb_base"}
"""Names from before ``rope_parameters`` that families with it still read."""

_WRITTEN: Final = {"architectures", "transformers_version", "dtype", "torch_dtype", "model_type", "use_cache"}
"""What transformers writes into every configuration and no family reads here; precision is an option of its own."""


def from_options(options: Mapping[str, Any], vocab_size: int | None) -> PretrainedConfig:
    """The configuration that a user describes.

    Args:
        options: With ``model_type``.
        vocab_size: Rows of an architecture that does not say.

    Raises:
        anyloom.errors.ConfigError: transformers does not know the architecture or one of its options, an option is
            given by two names, or has no possible value.
    """
    rest = dict(options)
    kind = rest.pop("model_type", None)
    if kind is None:
        raise ConfigError("'architecture' needs a 'model_type'", where="architecture", fix="for example llama")
    if kind not in CONFIG_MAPPING:
        fix = nearest(str(kind), CONFIG_MAPPING) or "use a model type of transformers, such as llama"
        raise ConfigError(f"no architecture is called {kind!r}", where="architecture.model_type", fix=fix)
    cls = CONFIG_MAPPING[kind]
    problems = [*_unknown(cls, rest), *_doubled(cls, rest)]
    if problems:
        raise combine(problems)
    given = {name: value for name, value in rest.items() if name not in _WRITTEN}
    size = given.get("vocab_size", vocab_size)
    return _made(cls, (_fitting(cls, size) if isinstance(size, int) else {}) | given)


def from_published(values: Mapping[str, Any], *, where: str) -> PretrainedConfig:
    """The configuration that a ``config.json`` describes.

    Args:
        values: What stands in the file.
        where: The checkpoint.

    Raises:
        anyloom.errors.CheckpointError: It is no configuration, of an architecture that transformers does not know, or
            of weights that are stored quantised.
    """
    kind = values.get("model_type")
    if not isinstance(kind, str) or kind not in CONFIG_MAPPING:
        raise CheckpointError(
            f"its config.json is of the model type {kind!r}, which transformers does not know",
            where=where,
            fix="upgrade transformers, or use another checkpoint; code that comes with a checkpoint is never run",
        )
    stored = values.get("quantization_config")
    if stored:
        method = stored.get("quant_method", "unknown") if isinstance(stored, Mapping) else "unknown"
        raise CheckpointError(
            f"its weights are stored quantised ({method})",
            where=where,
            fix="use the checkpoint in its full precision, with 'load_in_8bit: true' or 4bit if memory is short",
        )
    cls = CONFIG_MAPPING[kind]
    known = _known(cls) - _WRITTEN
    try:
        return _made(cls, {name: value for name, value in values.items() if name in known})
    except ConfigError as error:
        raise CheckpointError(error.what, where=f"{where}/config.json", fix="fetch the folder again") from error


def as_options(architecture: PretrainedConfig) -> dict[str, Any]:
    """The options that :func:`from_options` makes the same configuration of; what follows from others is left out.

    Args:
        architecture: Of a model that is saved.
    """
    known, aliases = _known(type(architecture)), type(architecture).attribute_map
    values = architecture.to_diff_dict()
    return {
        name: value
        for name, value in values.items()
        if name in known and not (name in aliases and aliases[name] in values)
    }


def _known(cls: type[PretrainedConfig]) -> set[str]:
    """Names of options that a family reads."""
    # what every configuration has behind a "_" is about kernels and places of files; what a family adds is its own
    common = {name for name in PretrainedConfig.__dataclass_fields__ if name.startswith("_")}
    machinery = ("base_", "extra_", "sub_config")
    fields = {name for name in cls.__dataclass_fields__ if name not in common and not name.startswith(machinery)}
    aliases = set(cls.attribute_map)
    rotary = _ROTARY if "rope_parameters" in fields else set()
    return (fields | aliases | rotary | _WRITTEN) - {"attribute_map"}


def _unknown(cls: type[PretrainedConfig], options: Mapping[str, Any]) -> list[AnyloomError]:
    known = _known(cls)
    return [
        ConfigError(
            f"{cls.model_type} has no option {name!r}",
            where=f"architecture.{name}",
            fix=nearest(str(name), known) or "take it out",
        )
        for name in options
        if name not in known
    ]


def _doubled(cls: type[PretrainedConfig], options: Mapping[str, Any]) -> list[AnyloomError]:
    return [
        ConfigError(
            f"{cls.model_type} calls this {own!r}, which is given as well",
            where=f"architecture.{alias}",
            fix=f"take out one of {alias!r} and {own!r}; another 'model_type' needs a new 'architecture'",
        )
        for alias, own in cls.attribute_map.items()
        if alias in options and own in options
    ]


def _made(cls: type[PretrainedConfig], values: Mapping[str, Any]) -> PretrainedConfig:
    if nan := sorted(name for name, value in values.items() if _has_nan(value)):
        raise ConfigError("NaN is no possible value", where=f"architecture.{nan[0]}", fix="give a number")
    try:
        made = cls(**values)
        _check_limits(made)
    except ConfigError:
        raise
    except Exception as error:  # families check their options in ways of their own
        raise ConfigError(
            f"{cls.model_type} cannot have these options ({reason(error)})",
            where="architecture",
            fix="compare them with a published config.json of this family",
        ) from error
    return made


def _has_nan(value: Any) -> bool:
    """Whether NaN stands anywhere in an option; infinity is a value of some families."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple):
        return any(_has_nan(inner) for inner in value)
    return isinstance(value, float) and value != value


def _fitting(cls: type[PretrainedConfig], vocab_size: int) -> dict[str, Any]:
    """A vocabulary's size, and no special tokens beyond it; a family's defaults are those of its published models."""
    names = ("bos_token_id", "eos_token_id", "pad_token_id")
    beyond = [n for n in names if isinstance(default := getattr(cls, n, None), int) and default >= vocab_size]
    return {"vocab_size": vocab_size, **dict.fromkeys(beyond)}


def _check_limits(made: PretrainedConfig) -> None:
    for name, limit in _LIMITS.items():
        value = getattr(made, name, None)
        if isinstance(value, int) and not 0 < value <= limit:
            raise ConfigError(f"{value} is no possible value", where=f"architecture.{name}", fix=f"give 1 to {limit:,}")
    heads, shared = (getattr(made, name, None) for name in ("num_attention_heads", "num_key_value_heads"))
    if isinstance(heads, int) and isinstance(shared, int) and (shared < 1 or heads % shared):
        raise ConfigError(
            f"{heads} heads cannot share {shared} keys evenly",
            where="architecture.num_key_value_heads",
            fix=f"give a divisor of {heads}",
        )
