"""``anyloom to-safetensors FOLDER``: pickled weights in a folder become safetensors, once, on request.

Some published folders hold ``.bin`` files, which are pickles. They are opened nowhere else; here they are read with
``weights_only=True``, which refuses everything but tensors and plain containers.
"""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from anyloom.errors import CheckpointError

__all__ = ["convert_folder", "main"]

_PICKLE: Final = re.compile(r"(pytorch_model|diffusion_pytorch_model)(\.\w+)?\.bin")
"""Files of transformers and of diffusers, with the variant that they may be, such as ``.fp16``."""
_STEMS: Final = {"pytorch_model": "model", "diffusion_pytorch_model": "diffusion_pytorch_model"}
"""What the two look for first, before the variant and ``.safetensors``."""


def main(arguments: Sequence[str]) -> int:
    """Run the command with the words after it."""
    parser = argparse.ArgumentParser(
        prog="anyloom to-safetensors", description="Write pickled weights of transformers and diffusers as safetensors."
    )
    parser.add_argument("folder", type=Path, help="searched with everything in it; the .bin files stay")
    written = convert_folder(parser.parse_args(list(arguments)).folder)
    print("\n".join(f"wrote {path}" for path in written) or "nothing to do: no .bin file without its .safetensors")
    return 0


def convert_folder(folder: Path) -> list[Path]:
    """Write a safetensors file beside every pickle that has none, and return what was written.

    Raises:
        anyloom.errors.CheckpointError: There is no such folder, or a file is not a plain state dict.
    """
    if not os.path.isdir(folder):
        raise CheckpointError("there is no such folder", where=str(folder), fix="give the folder that was downloaded")
    pairs = [(path, target) for path in sorted(folder.rglob("*.bin")) if (target := _target(path)) is not None]
    return [_convert(source, target) for source, target in pairs if not target.exists()]


def _target(path: Path) -> Path | None:
    """The file to write for a pickle; None for one that neither library would look for."""
    found = _PICKLE.fullmatch(path.name)
    return None if found is None else path.with_name(f"{_STEMS[found[1]]}{found[2] or ''}.safetensors")


def _convert(source: Path, target: Path) -> Path:
    import torch

    from anyloom.storage.tensors import write_tensors

    try:
        state: Any = torch.load(source, map_location="cpu", weights_only=True)
    except Exception as error:  # a file that is no pickle, or a hostile one, can raise anything
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        what = f"not a state dict that can be read safely ({reason})"
        raise CheckpointError(what, where=str(source), fix="fetch it again from the publisher") from error
    plain = isinstance(state, dict) and all(isinstance(key, str) for key in state)
    if not plain or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise CheckpointError("the file does not hold a flat state dict of tensors", where=str(source))
    write_tensors(state, target, {"format": "pt"})
    return target
