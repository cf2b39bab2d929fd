"""Facts about the machine and the libraries that numbers depend on."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Final

import torch

__all__ = ["environment"]

_LIBRARIES: Final = ("anyloom", "torch", "lightning", "transformers", "diffusers", "torchmetrics")


def environment() -> dict[str, str]:
    """Return threads, processor, accelerator and versions by name.

    >>> sorted(environment())[:3]
    ['Accelerator', 'Processor', 'Python']
    """
    facts = {
        "Threads": str(torch.get_num_threads()),
        "Processor": _processor(),
        "Accelerator": torch.cuda.get_device_name() if torch.cuda.is_available() else "none",
        "Python": platform.python_version(),
    }
    for library in _LIBRARIES:
        try:
            facts[library] = version(library)
        except PackageNotFoundError:
            continue
    return facts


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            return next((line.partition(":")[2].strip() for line in file if line.startswith("model name")), "unknown")
    except OSError:
        return platform.processor() or platform.machine()
