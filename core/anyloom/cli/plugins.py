"""``anyloom plugins``: what is installed, by whom, under which licence, and what did not load.

``--json`` prints one object whose keys stay as they are within a plugin api number; new keys may join them::

    {"api": 1,
     "components": [{"kind", "name", "modalities", "target", "requires", "package", "version", "licence",
                     "status", "summary"}, ...],
     "recipes": [{"name", "package", "path", "summary"}, ...],
     "commands": [{"name", "target", "summary"}, ...],
     "plugins": [{"name", "package", "version", "status", "cause"}, ...]}

A component's ``status`` is ``ok``, ``duplicate`` or ``needs X`` for modules that are not installed; a plugin's is
``ok``, ``failed``, ``incompatible``, ``duplicate`` or ``disabled``, with its ``cause``; one that
does something to its surroundings while it is loaded has ``notes`` about it. ``--kind`` narrows ``components`` only.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import textwrap
from collections.abc import Sequence
from typing import Any

from anyloom.discovery import ALLOW_VARIABLE, API, KINDS, ComponentSpec, Registry, get_registry
from anyloom.discovery.targets import import_function

__all__ = ["main"]

_COLUMNS = ("name", "kind", "modalities", "package", "version", "status", "licence")
_PIPED_WIDTH = 100
_SLOW_SECONDS = 2.0
_SUBCOMMANDS = {
    "bisect": "anyloom.cli.bisect_plugins:main",
    "check": "anyloom.cli.check_plugin:main",
    "freeze": "anyloom.cli.plugin_set:freeze",
    "new": "anyloom.cli.new_plugin:main",
    "restore": "anyloom.cli.plugin_set:restore",
}


def main(args: Sequence[str]) -> int:
    """Run ``anyloom plugins`` with the words after it."""
    if args and args[0] in _SUBCOMMANDS:
        status: int = import_function(_SUBCOMMANDS[args[0]], label=f"plugins {args[0]}")(args[1:])
        return status
    parser = argparse.ArgumentParser(
        prog="anyloom plugins",
        description="List the installed components.",
        epilog="'anyloom plugins new' begins a plugin of your own, 'check NAME' tries an installed component, 'bisect' "
        "finds the plugin that makes a command fail, 'freeze' and 'restore' keep a set of versions.",
    )
    parser.add_argument("--kind", choices=KINDS, help="only components of this kind")
    parser.add_argument("--json", action="store_true", help="print JSON with everything that is known")
    options = parser.parse_args(list(args))
    registry = get_registry()
    if options.json:
        print(json.dumps(_as_json(registry, options.kind), indent=2))
        return 0
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else _PIPED_WIDTH
    notes = [*_not_loaded(registry, width), *_duplicates(registry, width), *_restless(registry, width)]
    print("\n".join([*_table(registry, options.kind, width), *notes, *_slow(registry, width)]))
    return 0


def _component(registry: Registry, spec: ComponentSpec) -> dict[str, Any]:
    names = ("kind", "name", "modalities", "target", "requires", "package", "version", "licence", "summary")
    return {**{n: getattr(spec, n) for n in names}, "status": registry.status(spec)}


def _as_json(registry: Registry, kind: str | None) -> dict[str, Any]:
    """Return the object that the module's docstring describes."""

    def rows(records: Any, *names: str) -> list[dict[str, Any]]:
        return [{n: getattr(r, n) for n in names} for r in records]

    return {
        "api": API,
        "components": [_component(registry, s) for s in registry.components(kind)],
        "recipes": rows(registry.recipes.values(), "name", "package", "path", "summary"),
        "commands": rows(registry.commands.values(), "name", "target", "summary"),
        "plugins": [
            {**row, **({"notes": list(plugin.notes)} if plugin.notes else {})}
            for row, plugin in zip(
                rows(registry.plugins, "name", "package", "version", "status", "cause"), registry.plugins
            )
        ],
    }


def _table(registry: Registry, kind: str | None, width: int) -> list[str]:
    """Return a row per component with its summary under it; what is too long for ``width`` characters is wrapped."""
    records = [_component(registry, s) for s in registry.components(kind)]
    rows = [[_few(r[c]) if c == "modalities" else r[c] for c in _COLUMNS] for r in records]
    headings = [c.upper() for c in _COLUMNS]
    widths = [max(len(row[i]) for row in (headings, *rows)) for i in range(len(_COLUMNS) - 1)]
    lines = [_row(headings, widths, width)]
    for row, record in zip(rows, records):
        lines.append(_row(row, widths, width))
        lines += textwrap.wrap(record["summary"], width, initial_indent="    ", subsequent_indent="    ")
    return lines


def _few(names: Sequence[str], most: int = 2) -> str:
    """The first names and how many more there are; the JSON form has all."""
    more = f",+{len(names) - most}" if len(names) > most else ""
    return ",".join(names[:most]) + more or "any"


def _row(cells: Sequence[str], widths: Sequence[int], width: int) -> str:
    """Pad all cells but the last, which is wrapped below itself."""
    start = "".join(f"{cell:{w}}  " for cell, w in zip(cells, widths))
    rest = max(width - len(start), 12)
    return (start + f"\n{' ' * len(start)}".join(textwrap.wrap(cells[-1], rest))).rstrip()


def _not_loaded(registry: Registry, width: int) -> list[str]:
    """Return a paragraph per plugin that offers nothing now, with its cause."""
    lines = []
    for plugin in registry.plugins:
        if plugin.status != "ok":
            text = f"{plugin.status}: {plugin}: {plugin.cause}"
            lines += textwrap.wrap(text, width, subsequent_indent="  ", break_long_words=False)
    return ["", "Plugins that are not in use:", *lines] if lines else []


def _duplicates(registry: Registry, width: int) -> list[str]:
    """Return a paragraph per name that several plugins claim; none of them can be used."""
    claims: dict[tuple[str, str], list[ComponentSpec]] = {}
    for spec in registry.components():
        if registry.status(spec) == "duplicate":
            claims.setdefault((spec.kind, spec.name), []).append(spec)
    lines = []
    for (kind, name), specs in claims.items():
        who = " and ".join(f"{s.plugin} ({s.package} {s.version})" for s in specs)
        text = f"duplicate: {kind} {name!r} of {who}. To fix: uninstall all but one, or list one in {ALLOW_VARIABLE}"
        lines += textwrap.wrap(text, width, subsequent_indent="  ", break_long_words=False)
    return ["", "Names that several plugins claim:", *lines] if lines else []


def _restless(registry: Registry, width: int) -> list[str]:
    """Return a paragraph per thing that a plugin does to its surroundings."""
    lines = []
    for plugin in registry.plugins:
        for note in plugin.notes:
            text = f"{plugin} {note}"
            lines += textwrap.wrap(text, width, subsequent_indent="  ", break_long_words=False)
    return ["", "Plugins that do more than they should while they are loaded:", *lines] if lines else []


def _slow(registry: Registry, width: int) -> list[str]:
    """Return a paragraph per plugin that every command waits for."""
    lines = []
    for plugin in registry.plugins:
        if plugin.seconds > _SLOW_SECONDS:
            text = (
                f"slow: {plugin} takes {plugin.seconds:.1f} s to load. To fix: its plugin.py must import nothing "
                f"heavy; upgrade or uninstall {plugin.package}, or list only other entry points in {ALLOW_VARIABLE}"
            )
            lines += textwrap.wrap(text, width, subsequent_indent="  ", break_long_words=False)
    return ["", "Plugins that every command waits for:", *lines] if lines else []
