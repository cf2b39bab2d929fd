"""What is missing from the documentation: hooks, commands, components, options, interfaces, errors, pages."""

from __future__ import annotations

import inspect
import re
import sys
from pathlib import Path

import pytest
import yaml

import anyloom
import anyloom.errors
from anyloom.building import component_class
from anyloom.discovery import KINDS, get_registry
from anyloom.discovery.hooks import AnyloomHooks
from anyloom.interfaces import interface
from anyloom.json_schema.descriptions import option_descriptions

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
OWN = [spec for spec in get_registry().components() if spec.package == "anyloom"]


@pytest.fixture(scope="module")
def generated() -> dict[str, str]:
    sys.path.insert(0, str(ROOT / "scripts" / "docs"))
    from reference import pages

    return pages()


@pytest.mark.parametrize("hook", [name for name in vars(AnyloomHooks) if name.startswith("anyloom_")])
def test_every_hook_has_a_page_with_an_example(hook: str) -> None:
    text = (DOCS / "hooks" / f"{hook}.md").read_text(encoding="utf-8")
    assert f"@hookimpl\ndef {hook}(" in text
    assert f"({hook}.md)" in (DOCS / "hooks" / "index.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("kind", KINDS)
def test_every_interface_has_a_page_with_an_example(kind: str) -> None:
    text = (DOCS / "interfaces" / f"{kind}.md").read_text(encoding="utf-8")
    assert f".{interface(kind).__name__}\n" in text
    assert "```python\n" in text


def test_every_command_is_in_the_reference(generated: dict[str, str]) -> None:
    text = generated["reference/commands.md"]
    for name in get_registry().commands:
        assert f"## anyloom {name}\n\n```text\nusage: anyloom {name}" in text


@pytest.mark.parametrize("spec", OWN, ids=lambda s: f"{s.kind}-{s.name}")
def test_every_component_and_option_is_in_the_reference(spec, generated: dict[str, str]) -> None:
    text = generated[f"reference/components/{spec.kind}.md"]
    assert f"\n## {spec.name}\n" in text
    part = text.partition(f"\n## {spec.name}\n")[2].partition("\n## ")[0]
    config = component_class(spec.kind, spec.name).Config
    explained = option_descriptions(config)
    for option in config.model_fields:
        assert f"| `{option}` |" in part
        assert explained.get(option), f"{spec.target}: nothing in Args says what {option!r} is"


@pytest.mark.parametrize("name", anyloom.__all__)
def test_every_public_name_is_in_the_reference(name: str) -> None:
    text = (DOCS / "reference" / "python.md").read_text(encoding="utf-8")
    assert re.search(rf"^::: anyloom\.(\w+\.)*{name}$", text, re.MULTILINE) or f"`anyloom.{name}`" in text


def test_every_recipe_is_in_the_reference(generated: dict[str, str]) -> None:
    for name in get_registry().recipes:
        assert f"## {name}\n" in generated["reference/recipes.md"]


def test_every_error_class_has_cause_and_cure() -> None:
    text = (DOCS / "guide" / "errors.md").read_text(encoding="utf-8")
    rows = {row[0]: row[1:] for row in re.findall(r"^\| `(\w+)`[^|]*\| ([^|]+) \| ([^|]+) \|$", text, re.MULTILINE)}
    classes = [n for n, c in vars(anyloom.errors).items() if inspect.isclass(c) and issubclass(c, anyloom.AnyloomError)]
    assert sorted(rows) == sorted(classes)


def test_common_messages_are_still_said() -> None:
    source = "".join(p.read_text(encoding="utf-8") for p in (ROOT / "core" / "anyloom").rglob("*.py"))
    text = (DOCS / "guide" / "errors.md").read_text(encoding="utf-8").partition("## Common messages")[2]
    messages = re.findall(r"^`(.+)`", text, re.MULTILINE)
    assert len(messages) > 10
    for message in messages:
        said = message.partition(". To fix")[0]
        pieces = re.split(r"'[^']+'|[\d.,]+|encoder", said)  # between them is what depends on the case
        for piece in (p.strip() for p in pieces):
            assert len(piece) < 15 or piece in source, message


def test_every_page_is_in_the_navigation(generated: dict[str, str]) -> None:
    listed = set(re.findall(r"[\w/-]+\.md", (ROOT / "mkdocs.yml").read_text(encoding="utf-8")))
    there = {str(p.relative_to(DOCS)) for p in DOCS.rglob("*.md") if p.parent.name != "decisions"} | set(generated)
    assert there == listed


def test_pages_ask_nothing_of_other_hosts() -> None:
    theme = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["theme"]
    assert theme["font"] is False
