"""``anyloom imagebind-convert IN.pth OUT.safetensors``: the published pickle becomes safetensors, once, on request.

The pickle is opened in a process of its own and with ``weights_only=True``, so that a file which is not what it
seems can neither run code nor take the caller down.
"""

from __future__ import annotations

import argparse
import json
import pickle
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from anyloom.errors import AnyloomError, CheckpointError
from anyloom.options import validate
from anyloom.storage.json_text import json_value
from anyloom.storage.tensors import write_tensors
from anyloom_imagebind.config import HUGE, ImageBindSizes
from anyloom_imagebind.network import published_layout

__all__ = ["convert", "convert_here", "main"]

_REFUSED: Final = 3
_LICENCE: Final = "CC-BY-NC-SA-4.0"


def main(argv: Sequence[str]) -> int:
    """Run the command.

    Args:
        argv: Words after ``imagebind-convert``.

    Raises:
        anyloom.errors.CheckpointError: The file is missing, broken, or not ImageBind's.
    """
    parser = argparse.ArgumentParser(
        prog="anyloom imagebind-convert",
        description=f"Write ImageBind's published .pth checkpoint (licence {_LICENCE}) as .safetensors.",
    )
    parser.add_argument("source", type=Path, help="the .pth file, for example imagebind_huge.pth")
    parser.add_argument("target", type=Path, help="the .safetensors file to write")
    parser.add_argument("--sizes", default="{}", help="JSON of sizes, where they are not ImageBind-huge's")
    words = parser.parse_args(argv)
    try:
        options = json_value(words.sizes)
    except ValueError as error:
        parser.error(f"--sizes is not JSON: {error}")
    convert(words.source, words.target, validate(ImageBindSizes, options, where="--sizes"))
    sys.stdout.write(f"wrote {words.target}\n")
    return 0


def convert(source: Path, target: Path, sizes: ImageBindSizes = HUGE) -> None:
    """Convert a checkpoint in a process of its own.

    Args:
        source: A file that ``torch.save`` wrote of a state dict.
        target: Written at the end only; its folder is made.
        sizes: Sizes whose keys and shapes the state dict must have.

    Raises:
        anyloom.errors.CheckpointError: The source is missing, broken or another model's, or the process died.
    """
    if not source.is_file():
        raise CheckpointError("there is no such file", where=str(source), fix="check the path")
    if target.suffix != ".safetensors":
        raise CheckpointError("the result must be named .safetensors", where=str(target))
    command = [sys.executable, "-m", "anyloom_imagebind.convert", str(source), str(target), sizes.model_dump_json()]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == _REFUSED:
        raise CheckpointError(**json.loads(done.stdout))
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1]
        raise CheckpointError(f"the conversion failed ({last})", where=str(source))


def convert_here(source: Path, target: Path, sizes: ImageBindSizes) -> None:
    """What :func:`convert` runs in the inner process, with the same arguments and errors."""
    tensors = _read_pickle(source)
    _check(tensors, sizes, source)
    write_tensors(tensors, target, {"format": "pt", "model": "imagebind", "license": _LICENCE})


def _read_pickle(source: Path) -> dict[str, Tensor]:
    try:
        found: Any = torch.load(source, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(source))
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError) as error:
        first = str(error).strip().splitlines()[:1]
        what = f"not a state dict that can be read safely ({first[0] if first else type(error).__name__})"
        raise CheckpointError(what, where=str(source), fix="fetch it again from the publisher") from error
    if not isinstance(found, dict) or not all(isinstance(value, Tensor) for value in found.values()):
        raise CheckpointError("the file does not hold a flat state dict of tensors", where=str(source))
    return found


def _check(tensors: dict[str, Tensor], sizes: ImageBindSizes, source: Path) -> None:
    """Compare keys and shapes with those of ImageBind."""
    layout, found = published_layout(sizes), {key: tensor.shape for key, tensor in tensors.items()}
    wrong = sorted(key for key in layout.keys() | found.keys() if layout.get(key) != found.get(key))
    if wrong:
        there, here = (_shape(table.get(wrong[0])) for table in (found, layout))
        what = f"{len(wrong)} tensors are not as in ImageBind, first {wrong[0]}: {there} there, {here} expected"
        raise CheckpointError(what, where=str(source), fix="give the published file, or its --sizes")


def _shape(shape: torch.Size | None) -> str:
    return "none" if shape is None else str(tuple(shape))


def _worker(source: str, target: str, sizes: str) -> int:
    """Entry of the inner process; errors go to the outer one as JSON."""
    try:
        convert_here(Path(source), Path(target), ImageBindSizes.model_validate_json(sizes))
    except AnyloomError as error:
        sys.stdout.write(json.dumps({"what": error.what, "where": error.where, "fix": error.fix}))
        return _REFUSED
    return 0


if __name__ == "__main__":
    sys.exit(_worker(*sys.argv[1:]))
