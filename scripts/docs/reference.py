"""Pages of the documentation that are made from the code, at each build: options, components, commands, recipes."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import io
import os
import re
from collections.abc import Iterator

from option_tables import option_tables

from anyloom.cli.plugins import _SUBCOMMANDS
from anyloom.cli.recipes import recipe_rows
from anyloom.config.packages import recipe_path
from anyloom.config.schema import ProjectConfig
from anyloom.discovery import KINDS, ComponentSpec, get_registry
from anyloom.evaluation.suite import Suite
from anyloom.json_schema.descriptions import plain
from anyloom.network.config import ModelConfig

__all__ = ["pages"]

PACKAGE = "anyloom"
NOTE = "*This page is made from the code when the site is built.*\n\n"


def pages() -> dict[str, str]:
    """Markdown by path inside the documentation."""
    made = {"reference/config.md": _config(), "reference/commands.md": _commands(), "reference/recipes.md": _recipes()}
    made |= {f"reference/components/{kind}.md": _kind(kind) for kind in KINDS}
    return made


def _config() -> str:
    intro = (
        "# Sections of a config\n\n" + NOTE + "A config is a YAML file with the sections below. "
        "The options of components are on [pages of their own](components/encoder.md). "
        "`anyloom schema` gives the same to an editor, see [Configs](../guide/configs.md).\n\n"
        "The section `trainer` takes the arguments of `lightning.Trainer`.\n\n"
    )
    parts = [option_tables("The whole file", ProjectConfig, 2), option_tables("model", ModelConfig, 2)]
    parts.append(option_tables("suite", Suite, 2))
    return intro + "\n".join(parts)


def _kind(kind: str) -> str:
    specs = [s for s in get_registry().components(kind) if s.package == PACKAGE]
    title = {"llm": "LLMs", "loss": "Losses", "modality": "Modalities"}.get(kind, f"{kind.capitalize()}s")
    text = [f"# {title}\n\n{NOTE}What every one does: [the interface](../../interfaces/{kind}.md).\n"]
    text += [] if specs else ["None ships.\n"]
    return "\n".join([*text, *(_component(spec) for spec in specs)])


def _component(spec: ComponentSpec) -> str:
    module, _, attribute = spec.target.partition(":")
    cls = getattr(importlib.import_module(module), attribute)
    facts = {
        "modalities": ", ".join(spec.modalities) or "any",
        "licence": spec.licence,
        "needs": ", ".join(spec.requires),
        "class": f"`{module}.{attribute}`",
    }
    lines = "\n".join(f"- {key}: {value}" for key, value in facts.items() if value)
    tables = option_tables("", cls.Config, 3, prefix=spec.name)
    return f"## {spec.name}\n\n{spec.summary}.\n\n{lines}\n\n{_about(cls)}\n\n{tables}"


def _about(cls: type[object]) -> str:
    """The paragraphs of a class's docstring before its sections and examples."""
    text = inspect.cleandoc(cls.__doc__ or "")
    return plain(re.split(r"\n\s*(?:>>>|(?:Args|Attributes|Raises):\n)", text)[0].strip())


def _commands() -> str:
    text = [
        "# Commands\n",
        NOTE,
        "Every command prints this with `--help`.\n",
        _help("anyloom", "anyloom.cli.main:main"),
    ]
    for spec in get_registry().commands.values():
        text.append(_help(f"anyloom {spec.name}", spec.target))
        if spec.name == "plugins":
            text += [_help(f"anyloom plugins {word}", target) for word, target in _SUBCOMMANDS.items()]
    return "\n".join(text)


def _help(command: str, target: str) -> str:
    module, _, attribute = target.partition(":")
    function = getattr(importlib.import_module(module), attribute)
    printed = io.StringIO()
    with _plain_terminal(), contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
        function(["--help"])
    return f"## {command}\n\n```text\n{printed.getvalue().strip()}\n```\n"


@contextlib.contextmanager
def _plain_terminal() -> Iterator[None]:
    before = dict(os.environ)
    os.environ |= {"COLUMNS": "100", "NO_COLOR": "1"}
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _recipes() -> str:
    text = ["# Recipes\n", NOTE, "A recipe is named instead of a file: `anyloom check mini`.\n"]
    for row in recipe_rows():
        spec = get_registry().recipes[row.name]
        stages = f" Stages: {', '.join(f'`{stage}`' for stage in row.stages)}." if row.stages else ""
        text.append(f"## {row.name}\n\n{row.summary}.\n\nRun it: `{row.command}`.{stages}\n")
        source = recipe_path(row.name).read_text(encoding="utf-8")
        text.append(f'??? note "{spec.path}"\n')
        text.append("    ```yaml\n" + "\n".join(f"    {line}" for line in source.splitlines()) + "\n    ```\n")
    return "\n".join(text)
