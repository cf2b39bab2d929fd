"""A saved model is a folder: ``config.json``, ``model.safetensors``, and small files its parts need (tokenizer).

The config has the SHA-256 of all of them, and loading checks it. Frozen parts that came from files of their own may be
left out; then their options stay in the config with those files' SHA-256, and loading checks these too. Text values
that begin with ``@/`` in the saved config mean "in this folder".
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from anyloom.config.saved import FORMAT, check_files, file_hashes, read_record
from anyloom.errors import CheckpointError, ConfigError
from anyloom.network.config import ModelConfig
from anyloom.options import validate
from anyloom.storage.tensors import load_into, read_tensors, sha256, write_tensors

if TYPE_CHECKING:
    from anyloom.model.model import AnyToAnyModel

__all__ = ["load_model", "save_model"]

_HALF = {"float16": torch.float16, "bfloat16": torch.bfloat16}


def save_model(model: AnyToAnyModel, folder: Path, *, include_frozen: bool, dtype: str | None = None) -> None:
    """Write a model folder; see :meth:`anyloom.AnyToAnyModel.save_pretrained`."""
    if dtype is not None and dtype not in _HALF:
        raise ConfigError(f"cannot save as {dtype!r}", where="dtype", fix=f"use one of {', '.join(_HALF)}, or None")
    folder.mkdir(parents=True, exist_ok=True)
    sections = json.loads(model.config.model_dump_json())
    references: dict[str, dict[str, str]] = {}
    left_out: list[str] = []
    for part in model.parts.components():
        component = part.component
        files = [f for path in component.weight_files() for f in _files(path)]
        if files and component.frozen and not (include_frozen and component.portable):
            references[part.prefix] = {str(f.resolve()): sha256(f) for f in files}
            left_out.append(part.prefix + ".")
        else:
            options = options_at({"model": sections}, part.key)
            options.update(component.portable_options(folder, part.prefix.replace(".", "-")))
    trained = {k for k, p in model.parts.named_parameters() if p.requires_grad}
    tensors = {k: v for k, v in model.parts.state_dict().items() if k in trained or not k.startswith(tuple(left_out))}
    if dtype is not None:
        tensors = {k: _halved(k, v, _HALF[dtype]) for k, v in tensors.items()}
    write_tensors(tensors, folder / "model.safetensors", {"format": "pt"})
    hashes = file_hashes(folder, sections)
    record = {"format": FORMAT, "model": sections, "references": references, "files": hashes}
    (folder / "config.json").write_text(json.dumps(record, indent=1) + "\n")


def _halved(name: str, tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """A matrix or kernel in half precision. Vectors (norms, biases, statistics) are small and stay as they are."""
    if not tensor.is_floating_point() or tensor.ndim < 2:
        return tensor
    half = tensor.to(dtype)
    if not bool(half.isfinite().all()):
        raise CheckpointError(
            f"values of {name} are too large for {str(dtype).removeprefix('torch.')}",
            where="save_pretrained",
            fix="save in float32 or bfloat16",
        )
    return half


def options_at(sections: Mapping[str, Any], key: str) -> dict[str, Any]:
    """The options that stand at a YAML key."""
    found: Any = sections
    for part in key.split("."):
        found = found[part]
    options: dict[str, Any] = found
    return options


def _files(path: Path) -> list[Path]:
    return sorted(path.rglob("*.safetensors")) if path.is_dir() else [path]


def load_model(folder: Path) -> AnyToAnyModel:
    """Load a model folder; see :meth:`anyloom.AnyToAnyModel.from_pretrained`."""
    from anyloom.model.model import AnyToAnyModel

    record = read_record(folder)
    tensors = read_tensors(folder)  # a file that is cut off is told from one that is another
    check_files(folder, record.get("files", {}))
    for prefix, hashes in record["references"].items():
        for name, digest in hashes.items():
            if not Path(name).is_file() or sha256(Path(name)) != digest:
                raise CheckpointError(
                    f"the model was saved with another file here (for {prefix})", where=name, fix="put that file back"
                )
    model = AnyToAnyModel(validate(ModelConfig, record["model"], where="model"))
    for prefix in record["references"]:
        own = {k: v for k, v in model.parts.state_dict().items() if k.startswith(prefix + ".")}
        tensors = own | tensors
    load_into(model.parts, tensors, where=str(folder))
    return model.eval()
