"""Processes in which packages seem absent, and a guard against the network."""

from __future__ import annotations

import contextlib
import functools
import importlib.metadata
import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final
from unittest import mock

from anyloom.discovery import ComponentSpec
from anyloom.testing.checking import ConformanceError

__all__ = ["HEAVY", "Asked", "ask_process", "no_network", "undeclared_modules"]

HEAVY: Final = (
    *("torch", "transformers", "diffusers", "lightning", "torchmetrics", "peft", "tokenizers", "pydantic", "numpy"),
    *("scipy", "pandas", "sklearn", "matplotlib", "tensorflow", "jax", "torchvision", "torchaudio"),
    *("PIL", "av", "cv2", "soundfile", "soxr", "librosa"),
)
"""Modules that a ``plugin.py`` must not import: every ``anyloom`` command would wait for them."""

_MARK: Final = "<answer of the probe>"
_SECONDS: Final = 300
_HIDE: Final = """
import importlib.machinery, sys
_hidden = set({hidden!r})
class _Hiding:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name.partition(".")[0] in _hidden:
            return None
        return importlib.machinery.PathFinder.find_spec(name, path, target)
    invalidate_caches = importlib.machinery.PathFinder.invalidate_caches
    find_distributions = importlib.machinery.PathFinder.find_distributions
sys.meta_path[:] = [_Hiding if f is importlib.machinery.PathFinder else f for f in sys.meta_path]
"""


class Asked:
    """What a fresh interpreter answered.

    Args:
        value: The value of ``answer``.
        printed: What reached standard output before.
    """

    def __init__(self, value: Any, printed: str) -> None:
        self.value, self.printed = value, printed


def ask_process(code: str, *, hidden: Iterable[str] = ()) -> Asked:
    """Run code in a fresh interpreter and return what it assigned to ``answer``, a JSON value.

    Args:
        code: Python source.
        hidden: Top-level modules that seem not to be installed there.

    Raises:
        ConformanceError: It ended with an error, or not at all.
    """
    script = f"{_HIDE.format(hidden=sorted(hidden))}{code}\nimport json\nprint({_MARK!r} + json.dumps(answer))"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    try:
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", script],
            env=environment,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ConformanceError(f"a process that imports it did not end within {_SECONDS} s") from error
    printed, found, answer = done.stdout.partition(_MARK)
    if done.returncode or not found:
        last = (done.stderr.strip() or f"exit status {done.returncode}").splitlines()[-1]
        raise ConformanceError(f"a fresh interpreter that imports it ends with {last}")
    return Asked(json.loads(answer), printed)


def undeclared_modules(spec: ComponentSpec) -> list[str]:
    """Top-level modules that are installed here, though neither the package nor ``requires`` asks for them."""
    homes = _homes()
    required = {name for module in spec.requires for name in homes.get(module, ())}
    declared = _closure((*sorted({"anyloom", spec.package} | required),))
    own = {spec.target.partition(".")[0].partition(":")[0], *spec.requires}
    return sorted(m for m, names in homes.items() if m not in own and not declared & {_normal(n) for n in names})


@functools.cache
def _homes() -> dict[str, Sequence[str]]:
    """Distributions by top-level module."""
    return dict(importlib.metadata.packages_distributions())


@functools.cache
def _closure(names: tuple[str, ...]) -> set[str]:
    """Distributions, and all that they require without their own extras."""
    found: set[tuple[str, str]] = set()
    waiting = [(_normal(name), "") for name in names]
    while waiting:
        name, extra = waiting.pop()
        if (name, extra) in found:
            continue
        found.add((name, extra))
        try:
            requirements = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:
            continue
        for line in requirements:
            needed, _, marker = line.partition(";")
            wanted = re.search(r"extra\s*==\s*['\"]([\w.-]+)['\"]", marker)
            if (wanted[1] if wanted else "") != extra:
                continue
            parts = re.match(r"([\w.-]+)\s*(?:\[([^\]]*)\])?", needed.strip())
            if parts:
                extras = [e.strip() for e in (parts[2] or "").split(",") if e.strip()]
                waiting += [(_normal(parts[1]), e) for e in ("", *extras)]
    return {name for name, _ in found}


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@contextlib.contextmanager
def no_network() -> Iterator[list[str]]:
    """Refuse every connection of this process, and collect the addresses that were asked for.

    >>> with no_network() as attempts:
    ...     pass  # what must not ask the network for anything
    >>> list(attempts)
    []
    """
    attempts: list[str] = []
    connect = socket.socket.connect

    def refuse(self: socket.socket, address: Any) -> None:
        if self.family == getattr(socket, "AF_UNIX", None):  # between processes of this machine
            return connect(self, address)
        attempts.append(str(address))
        raise OSError("the network is switched off in this check")

    def unknown(host: Any, *rest: Any, **more: Any) -> Any:
        attempts.append(str(host))
        raise OSError("the network is switched off in this check")

    with (
        mock.patch.object(socket.socket, "connect", refuse),
        mock.patch.object(socket.socket, "connect_ex", refuse),
        mock.patch.object(socket, "getaddrinfo", unknown),
    ):
        yield attempts
