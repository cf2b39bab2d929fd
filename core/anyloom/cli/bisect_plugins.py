"""``anyloom plugins bisect``: which plugin makes a command fail, hang or die. Six starts are enough for 64 plugins.

Every try is a process of its own with a deadline, so that a plugin that kills or blocks Python is found as well.
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Final

from anyloom.discovery import ALLOW_VARIABLE
from anyloom.discovery.finding import find_plugins
from anyloom.errors import ConfigError
from anyloom.remarks import say

__all__ = ["guilty", "main"]

_OWN: Final = "anyloom"
_DEFAULT: Final = ("plugins", "--json")


def main(args: Sequence[str]) -> int:
    """Run ``anyloom plugins bisect`` with the words after it; 0 if a plugin was found."""
    parser = argparse.ArgumentParser(
        prog="anyloom plugins bisect",
        description="Find the plugin that makes a command fail, by running it with half of the suspects at a time.",
        epilog="Example: anyloom plugins bisect -- check my.yaml",
    )
    parser.add_argument("command", nargs="*", help=f"words after 'anyloom'; default: {shlex.join(_DEFAULT)}")
    parser.add_argument("--keep", default="", metavar="NAMES", help="plugins that the command needs, with commas")
    parser.add_argument("--seconds", type=float, default=60.0, help="a try that takes longer fails; default: 60")
    options = parser.parse_args(list(args))
    keep = [name.strip() for name in options.keep.split(",") if name.strip()]
    points = [p for p in find_plugins() if not p.hidden]
    named = {p.name: p for p in points}
    for name in keep:
        if name not in named:
            raise ConfigError(f"no plugin is called {name!r}", where="--keep", fix=f"plugins: {', '.join(named)}")
    own = [p.name for p in points if p.package == _OWN]
    suspects = [name for name in named if name not in own and name not in keep]
    if not suspects:
        raise ConfigError("there is nobody to suspect", where="bisect", fix="install plugins, or keep fewer")
    command = options.command or list(_DEFAULT)
    found, seen = guilty(suspects, lambda some: _fails(command, [*own, *keep, *some], options.seconds))
    how = "" if seen else " (by exclusion: no try has failed, so it may also be several plugins together, or none)"
    print(f"guilty: {found} ({named[found].package} {named[found].version}){how}")
    print(f"leave it out: {ALLOW_VARIABLE}={','.join(n for n in named if n != found)}")
    return 0


def guilty(suspects: Sequence[str], fails: Callable[[list[str]], bool]) -> tuple[str, bool]:
    """Return the one suspect that makes a try fail, and whether any try has failed.

    Args:
        suspects: At least one.
        fails: Tries some of them; asked ``ceil(log2(len(suspects)))`` times.

    >>> guilty(["a", "b", "c", "d", "e"], lambda some: "d" in some)
    ('d', True)
    """
    left, seen = list(suspects), False
    while len(left) > 1:
        half = left[: len(left) // 2]
        if fails(half):
            left, seen = half, True
        else:
            left = left[len(half) :]
    return left[0], seen


def _fails(command: Sequence[str], plugins: Sequence[str], seconds: float) -> bool:
    environment = {**os.environ, ALLOW_VARIABLE: ",".join(plugins)}
    line = [sys.executable, "-m", "anyloom.cli.main", *command]
    try:
        quiet = subprocess.DEVNULL
        status = subprocess.run(
            line, env=environment, stdin=quiet, stdout=quiet, stderr=quiet, timeout=seconds, check=False
        ).returncode
    except subprocess.TimeoutExpired:
        status = None
    said = "takes too long" if status is None else f"exit status {status}"
    say(f"with {len(plugins)} plugins: {said}")
    return status != 0
