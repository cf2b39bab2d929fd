"""A saved model is a folder: ``config.json``, ``model.safetensors``, and small files its parts need (tokenizer).

Frozen parts that came from files of their own may be left out; then their options stay in the config with the files'
SHA-256, and loading checks them. Text values that begin with ``@/`` in the saved config mean "in this folder".
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anyloom.config.validation import validate
from anyloom.errors import CheckpointError
from anyloom.interfaces.component import NeuralComponent
from anyloom.model.config import ModelConfig
from anyloom.model.weights import load_into, read_tensors, sha256, write_tensors

if TYPE_CHECKING:
    from anyloom.model.model import AnyToAnyModel

__all__ = ["load_model", "save_model"]

_FORMAT = 1


def save_model(model: AnyToAnyModel, folder: Path, *, include_frozen: bool) -> None:
    """Write a model folder; see :meth:`anyloom.AnyToAnyModel.save_pretrained`."""
    folder.mkdir(parents=True, exist_ok=True)
    sections = json.loads(model.config.model_dump_json())
    references: dict[str, dict[str, str]] = {}
    left_out: list[str] = []
    for prefix, options, part in _named_parts(model, sections):
        files = [f for path in part.weight_files() for f in _files(path)]
        if files and part.frozen and not (include_frozen and part.portable):
            references[prefix] = {str(f.resolve()): sha256(f) for f in files}
            left_out.append(prefix + ".")
        else:
            options.update(part.portable_options(folder, prefix.replace(".", "-")))
    trained = {k for k, p in model.parts.named_parameters() if p.requires_grad}
    tensors = {k: v for k, v in model.parts.state_dict().items() if k in trained or not k.startswith(tuple(left_out))}
    write_tensors(tensors, folder / "model.safetensors", {"format": "pt"})
    record = {"format": _FORMAT, "model": sections, "references": references}
    (folder / "config.json").write_text(json.dumps(record, indent=1) + "\n")


def _named_parts(model: AnyToAnyModel, sections: dict[str, Any]) -> list[tuple[str, dict[str, Any], NeuralComponent]]:
    """State-dict prefix, options and part of everything that may come from files."""
    parts = model.parts
    named: list[tuple[str, dict[str, Any], NeuralComponent]] = [("llm", sections["llm"], parts.llm)]
    for group in ("encoders", "decoders"):
        named += [(f"{group}.{k}", sections[group][k], p) for k, p in getattr(parts, group).items()]
    return named


def _files(path: Path) -> list[Path]:
    return sorted(path.rglob("*.safetensors")) if path.is_dir() else [path]


def load_model(folder: Path) -> AnyToAnyModel:
    """Load a model folder; see :meth:`anyloom.AnyToAnyModel.from_pretrained`."""
    from anyloom.model.model import AnyToAnyModel

    file = folder / "config.json"
    if not file.is_file():
        raise CheckpointError(
            "there is no saved model here", where=str(file), fix="give the folder save_pretrained wrote"
        )
    try:
        record = json.loads(file.read_text())
    except json.JSONDecodeError as error:
        raise CheckpointError(f"not JSON: {error}", where=str(file)) from error
    if not isinstance(record, dict) or record.get("format") != _FORMAT:
        raise CheckpointError(f"format {record.get('format')!r} is not {_FORMAT}", where=str(file))
    for prefix, hashes in record["references"].items():
        for name, digest in hashes.items():
            if not Path(name).is_file() or sha256(Path(name)) != digest:
                raise CheckpointError(
                    f"the model was saved with another file here (for {prefix})", where=name, fix="put that file back"
                )
    model = AnyToAnyModel(validate(ModelConfig, _localise(record["model"], folder), where="model"))
    tensors = read_tensors(folder)
    for prefix in record["references"]:
        own = {k: v for k, v in model.parts.state_dict().items() if k.startswith(prefix + ".")}
        tensors = own | tensors
    load_into(model.parts, tensors, where=str(folder))
    return model.eval()


def _localise(value: Any, folder: Path) -> Any:
    if isinstance(value, dict):
        return {k: _localise(v, folder) for k, v in value.items()}
    if isinstance(value, list):
        return [_localise(v, folder) for v in value]
    return str(folder / value[2:]) if isinstance(value, str) and value.startswith("@/") else value
