"""Checks the ``trainer:`` section against ``lightning.Trainer``, every option by itself, before anything is built."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import inspect
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import lightning
from jsonargparse import ArgumentError
from lightning.pytorch import callbacks, loggers, profilers, strategies
from lightning.pytorch.cli import LightningArgumentParser

from anyloom.checking.trainer_values import value_problems
from anyloom.errors import ConfigError, nearest

__all__ = ["trainer_problems"]

_SHARDED = "fsdp2"  # anyloom.training.sharded.NAME, which stands above this room
_SHORT_NAMES = (callbacks, loggers, strategies, profilers)
_NOISE = ("Does not validate", "Subtypes:", "Errors:", "Given value", "Subclass types expect", "a class path", "a dict")


def trainer_problems(options: Mapping[str, Any]) -> list[ConfigError]:
    """Return what is wrong in a ``trainer:`` section, one error per option or list item.

    >>> print(trainer_problems({"max_step": 3})[0])
    trainer.max_step: lightning's Trainer has no option 'max_step'. To fix: did you mean 'max_steps'?
    """
    known = [name for name in inspect.signature(lightning.Trainer.__init__).parameters if name != "self"]
    problems: list[ConfigError] = []
    for key, value in options.items():
        if key not in known:
            fix = nearest(key, known) or "see the options of lightning.Trainer"
            problems.append(ConfigError(f"lightning's Trainer has no option {key!r}", where=f"trainer.{key}", fix=fix))
            continue
        if key == "strategy" and value == _SHARDED:
            continue
        if key == "strategy" and _is_first_fsdp(value):
            problems.append(
                ConfigError(
                    "FSDP in its first form does not know which parameters a batch uses",
                    where="trainer.strategy",
                    fix=f"use {_SHARDED}, or ddp",
                )
            )
            continue
        if key == "strategy" and "deepspeed" in _strategy_name(value) and importlib.util.find_spec("deepspeed") is None:
            fix = f"install deepspeed, or use {_SHARDED}"
            problems.append(ConfigError("DeepSpeed is not installed", where="trainer.strategy", fix=fix))
            continue
        found = [problem for where, part in _items(key, value) if (problem := _problem(key, part, where))]
        problems += found or value_problems(key, value)
    return problems + _averages_of_shards(options)


def _averages_of_shards(options: Mapping[str, Any]) -> list[ConfigError]:
    """Lightning's averages keep the weights whole, and put them into checkpoints that have no place for shards."""
    if options.get("strategy") != _SHARDED:
        return []
    given = options.get("callbacks")
    return [
        ConfigError(
            f"{_SHARDED} shares the weights out, and averages need them whole",
            where=f"trainer.callbacks.{index}",
            fix="use ddp, or leave it out",
        )
        for index, item in enumerate(given if isinstance(given, list) else [])
        if isinstance(item, Mapping) and str(item.get("class_path", "")).endswith("WeightAveraging")
    ]


def _is_first_fsdp(strategy: Any) -> bool:
    """Whether a strategy is lightning's wrapper of the first FSDP."""
    return "fsdp" in _strategy_name(strategy)


def _strategy_name(strategy: Any) -> str:
    """Name of a strategy that is given by name, by class path or as an object: small letters alone."""
    name = strategy.get("class_path") if isinstance(strategy, Mapping) else strategy
    return str(name if isinstance(name, str) else type(name).__name__).lower().replace("_", "")


def _items(key: str, value: Any) -> Iterator[tuple[str, Any]]:
    """A list of components item by item, anything else whole."""
    if isinstance(value, list) and all(isinstance(v, Mapping) for v in value):
        for index, item in enumerate(value):
            yield f"trainer.{key}.{index}", [item]
    else:
        yield f"trainer.{key}", value


def _problem(key: str, value: Any, where: str) -> ConfigError | None:
    option = {key: value}
    try:
        text = json.dumps(option)
    except (TypeError, ValueError):  # holds an object
        text = ""
    refused = _refused_text(text) if text and json.loads(text) == option else _refused(option)
    return None if refused is None else _translate(refused, value, where)


def _refused(option: dict[str, Any]) -> str | None:
    try:
        _parser().parse_object({"trainer": option})
    except ArgumentError as error:
        return str(error)
    return None


@functools.lru_cache(maxsize=256)
def _refused_text(option: str) -> str | None:
    """The stages of a config have most options in common."""
    return _refused(json.loads(option))


@functools.cache
def _parser() -> LightningArgumentParser:
    parser = LightningArgumentParser(exit_on_error=False)
    parser.add_lightning_class_args(lightning.Trainer, "trainer")
    return parser


def _translate(text: str, value: Any, where: str) -> ConfigError:
    """Say in one line what jsonargparse says in a tree of attempts."""
    lines = text.splitlines()
    start = next((i for i, line in enumerate(lines) if "Problem with given class_path" in line), None)
    if start is None:
        return ConfigError(f"{_leaves(lines[1:] or lines)}, got {value!r}", where=where)
    indent = len(lines[start]) - len(lines[start].lstrip())
    block = [line for line in lines[start + 1 :] if line.strip()]
    end = next((i for i, line in enumerate(block) if len(line) - len(line.lstrip()) <= indent), len(block))
    block = block[:end]
    match = re.search(r"class_path '([^']+)'", lines[start])
    assert match is not None
    refused = re.search(r"Option '([^']+)' is not accepted", " ".join(block))
    if refused is not None:
        known = _options_of(match[1])
        fix = nearest(refused[1], known) or (f"known options: {', '.join(known)}" if known else "")
        what = f"{match[1]} has no option {refused[1]!r}"
        return ConfigError(what, where=f"{where}.init_args.{refused[1]}", fix=fix)
    option = re.search(r'Parser key "([^"]+)"', block[0])
    where = f"{where}.init_args.{option[1]}" if option else where
    return ConfigError(f"{match[1]}: {_leaves(block)}", where=where)


def _leaves(lines: list[str]) -> str:
    """The innermost messages, joined."""
    texts = [line.strip().removeprefix("- ") for line in lines]
    given = next((t.removeprefix("Given value: ") for t in texts if t.startswith("Given value: ")), "")
    kept = [re.sub(r"\. Got value: .*", "", t) for t in texts if not t.startswith((*_NOISE, "Parser key"))]
    plain = [re.sub(r"<class '(?:\w+\.)*(\w+)'>", r"\1", t).replace("typing.", "") for t in kept]
    text = " or ".join(dict.fromkeys(plain)).replace("NoneType", "null").replace("Expected a ", "")
    expected = f"expected {text}" if any(t.startswith("Expected a ") for t in plain) else text
    return f"{expected}, got {given!r}" if given and texts[0].startswith("Parser key") else expected


def _options_of(class_path: str) -> list[str]:
    """Constructor arguments of a class, by its path or by its name in lightning."""
    module, _, name = class_path.rpartition(".")
    homes = [importlib.import_module(module)] if module else _SHORT_NAMES
    cls = next((getattr(home, name) for home in homes if hasattr(home, name)), None)
    return [n for n in inspect.signature(cls).parameters if n != "kwargs"] if cls else []
