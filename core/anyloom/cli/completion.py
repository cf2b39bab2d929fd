"""``anyloom completion SHELL``: a script that completes commands, their options and recipes."""

from __future__ import annotations

import argparse
import contextlib
import io
import re
from collections.abc import Sequence
from typing import Final

from anyloom.discovery import get_registry

__all__ = ["main"]

_OWN: Final = "anyloom.cli."
_BASH: Final = """_anyloom() {{
  local current="${{COMP_WORDS[COMP_CWORD]}}"
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W "{commands}" -- "$current"))
    return
  fi
  local options="{recipes}"
  case "${{COMP_WORDS[1]}}" in
{cases}
  esac
  case "$current" in
    -*) COMPREPLY=($(compgen -W "$options" -- "$current")) ;;
    *) COMPREPLY=($(compgen -W "$options" -- "$current") $(compgen -f -- "$current")) ;;
  esac
}}
complete -o filenames -F _anyloom anyloom
"""
_ZSH: Final = "autoload -Uz bashcompinit && bashcompinit\n"


def main(arguments: Sequence[str]) -> int:
    """Run ``anyloom completion`` with the words after it."""
    parser = argparse.ArgumentParser(
        prog="anyloom completion",
        description="Print a script for tab completion.",
        epilog='For bash: eval "$(anyloom completion bash)" in ~/.bashrc. Write it again after installing plugins.',
    )
    parser.add_argument("shell", choices=("bash", "zsh"))
    shell = parser.parse_args(list(arguments)).shell
    registry = get_registry()
    own = [name for name, spec in registry.commands.items() if spec.target.startswith(_OWN)]
    cases = "\n".join(f'    {name}) options="{" ".join(_options(name))} $options" ;;' for name in own)
    words = {"commands": " ".join(registry.commands), "recipes": " ".join(registry.recipes), "cases": cases}
    print((_ZSH if shell == "zsh" else "") + _BASH.format(**words), end="")
    return 0


def _options(command: str) -> list[str]:
    """The long options of a command, as its help names them."""
    text = io.StringIO()
    with contextlib.redirect_stdout(text), contextlib.suppress(SystemExit):
        get_registry().command(command)(["--help"])
    return sorted(set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", text.getvalue())))
