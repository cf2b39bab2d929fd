"""The ``anyloom`` command: finds the subcommand in the registry and calls it. Imports nothing heavy itself.

A deliberate error (:class:`anyloom.errors.AnyloomError`) becomes one ``error:`` text and exit status 2; anything
else that escapes is a bug and keeps its traceback.
"""

from __future__ import annotations

import argparse
import errno
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from typing import TextIO

from anyloom import __version__
from anyloom.cli.console import SWITCHES, saying
from anyloom.discovery import Registry, get_registry
from anyloom.errors import AnyloomError

__all__ = ["main"]

_OWN = "anyloom.cli."
_INTERRUPTED = 130
_BROKEN_PIPE = 141
_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
"""What a write to an open file says, without its name."""
_USER_ERROR = 2
_NO_TEMPORARY = "No usable temporary directory"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand.

    Args:
        argv: Words after ``anyloom``; those of the process by default.

    Returns:
        The exit status: the subcommand's own, 2 for a deliberate error, 130 after an interrupt.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    split = next((i for i, word in enumerate(words) if not word.startswith("-")), len(words))
    debug = "--debug" in words[:split]
    try:
        return _run(words[:split], words[split:])
    except AnyloomError as error:
        if debug:
            traceback.print_exc()
        return _failed(str(error))
    except KeyboardInterrupt:
        if debug:
            traceback.print_exc()
        if argv is None:  # the process ends now; one more Ctrl-C would only change its status
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        print("interrupted", file=sys.stderr)
        return _INTERRUPTED
    except BrokenPipeError:  # the reader of a pipe has left, as `head` does
        _into_nothing(sys.stdout)
        return _BROKEN_PIPE
    except OSError as error:  # a file that the system refuses is the user's to mend; anything else is a bug
        told = _refused(error)
        if told is None:
            raise
        if debug:
            traceback.print_exc()
        return _failed(told)


def _refused(error: OSError) -> str | None:
    """What the system refused, in one line; None if the error does not come from files.

    >>> _refused(FileNotFoundError(errno.ENOENT, "No usable temporary directory found in ['/tmp']"))
    "No usable temporary directory found in ['/tmp']. To fix: set TMPDIR to a folder that can be written to"
    """
    if error.filename is not None:
        return f"{error.filename}: {error.strerror}. To fix: check the path and the disk"
    if _NO_TEMPORARY in str(error):
        return f"{error.strerror}. To fix: set TMPDIR to a folder that can be written to"
    if error.errno in _DISK:
        return f"a file of this command, or its output: {error.strerror}. To fix: check the path and the disk"
    return None


def _failed(told: str) -> int:
    """Print an error and return its status, also where nothing can be printed any more."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is sys.stderr:
                print(f"error: {told}", file=stream)
            stream.flush()
        except OSError:  # a full disk: what is left in the buffer would fail once more when the process ends
            _into_nothing(stream)
    return _USER_ERROR


def _into_nothing(stream: TextIO) -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _run(options: list[str], command: list[str]) -> int:
    """Handle the options before the subcommand, then run it."""
    parser = argparse.ArgumentParser(
        prog="anyloom",
        usage="anyloom [--help] [--version] [--debug] [-q | -v] COMMAND ...",
        description="Train, evaluate and talk to any-to-any multimodal language models.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"anyloom {__version__}")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    parser.add_argument("-q", action="store_true", help="say nothing but results and errors")
    parser.add_argument("-v", action="store_true", help="show what libraries log, and the time it took")
    # what looks for a plugin that breaks every command loads none itself
    registry = get_registry([] if command[:2] == ["plugins", "bisect"] else None)
    parser.epilog = _commands(registry)
    parser.parse_args(options)
    if not command:
        parser.print_help()
        return 0
    function, words = registry.command(command[0]), command[1:]
    if registry.commands[command[0]].target.startswith(_OWN):  # others' words are theirs
        options, words = options + [w for w in words if w in SWITCHES], [w for w in words if w not in SWITCHES]
    levels = [SWITCHES[word] for word in options if word in SWITCHES]
    with saying(levels[-1] if levels else ""):
        status = function(words)
    sys.stdout.flush()
    return status or 0


def _commands(registry: Registry) -> str:
    """Return the part of the help that lists the subcommands."""
    width = max(map(len, registry.commands), default=0)
    lines = [f"  {name:{width}}  {spec.summary}" for name, spec in registry.commands.items()]
    text = "\n".join(["commands:", *lines, "", "'anyloom COMMAND --help' explains one of them."])
    broken = [p for p in registry.plugins if p.status not in ("ok", "disabled")]
    return f"{text}\n{len(broken)} of the plugins did not load; 'anyloom plugins' says why." if broken else text


if __name__ == "__main__":
    sys.exit(main())
