"""A saved model is a folder: ``config.json``, ``model.safetensors``, and small files its parts need (tokenizer).

The config has the SHA-256 of all of them, and loading checks it. Frozen parts that came from files of their own may be
left out; then their options stay in the config with those files' SHA-256, and loading checks these too. Text values
that begin with ``@/`` in the saved config are relative to the folder.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

import torch
from torch import Tensor, nn

from anyloom.building import registered_names_only
from anyloom.config.compose import overridden
from anyloom.config.packages import model_folder
from anyloom.config.saved import FORMAT, MANIFEST, is_saved_model, named_paths, read_record
from anyloom.discovery.guarding import tell
from anyloom.errors import CheckpointError, ConfigError
from anyloom.interfaces.component import NeuralComponent
from anyloom.model.fitting import fitted, fitting_parts, part_of
from anyloom.model.required import check_required, required_packages
from anyloom.network.assembly import add_decoders, assemble, stands_without_decoders
from anyloom.network.config import ModelConfig
from anyloom.network.network import Network
from anyloom.network.parts import Parts
from anyloom.options import validate
from anyloom.storage.first_use import check_first_use
from anyloom.storage.folder import replacing_folder
from anyloom.storage.hashes import manifest, sha256, verify
from anyloom.storage.headers import headers_only
from anyloom.storage.saved_part import split_part
from anyloom.storage.sharded import whole_state
from anyloom.storage.tensors import load_into, read_tensors, write_tensors

__all__ = ["load_model", "save_model", "save_sharded", "start_from"]

Model = TypeVar("Model", bound=Network)

_HALF: Final = {"float16": torch.float16, "bfloat16": torch.bfloat16}
_TENSORS: Final = "model.safetensors"
_DECODERS: Final = "decoders."


def save_model(model: Network, folder: Path, *, include_frozen: bool, dtype: str | None = None) -> None:
    """Write a model folder; see :meth:`anyloom.AnyToAnyModel.save_pretrained`."""
    if dtype is not None and dtype not in _HALF:
        raise ConfigError(f"cannot save as {dtype!r}", where="dtype", fix=f"use one of {', '.join(_HALF)}, or None")
    sections = json.loads(model.config.model_dump_json())
    with replacing_folder(folder) as draft:
        references: dict[str, dict[str, str]] = {}
        left_out: list[str] = []
        for part in _named_parts(model.parts):
            options = part.options(sections)
            if part.files and part.component.frozen and not (include_frozen and part.component.portable):
                references[part.key] = _refer(part, options, folder, draft)
                left_out.append(part.prefix + ".")
            else:
                options.update(part.component.portable_options(draft, part.name))
                _carry_files(part, options, draft)
        write_tensors(_kept(model.parts, tuple(left_out), dtype), draft / _TENSORS, {"format": "pt"})
        hashes = manifest(draft, [draft / _TENSORS, *named_paths(sections, draft)])
        record: dict[str, Any] = {"format": FORMAT, "model": sections, "references": references, "files": hashes}
        record["requires"] = required_packages(model.parts, model.config)
        if references:
            record["saved_at"] = str(folder.resolve())
        (draft / MANIFEST).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def save_sharded(model: Network, folder: Path, *, include_frozen: bool, dtype: str | None = None) -> None:
    """Write the folder of a model whose parts are sharded; every process brings what it holds, the first writes."""
    import torch.distributed as dist

    state = whole_state(model)
    try:
        if dist.get_rank() == 0:
            alone = type(model)(model.config)  # some parts get modules from their files, such as a vocoder
            alone.load_state_dict(state)
            save_model(alone, folder, include_frozen=include_frozen, dtype=dtype)
    finally:
        dist.barrier()  # also where writing failed: the others must not wait for ever


def load_model(
    cls: type[Model], folder: Path, overrides: Sequence[str] = (), *, trust: bool = False, decoders_later: bool = False
) -> Model:
    """Load a model folder as a class of model; see :meth:`anyloom.AnyToAnyModel.from_pretrained`.

    Args:
        cls: The class.
        folder: The folder.
        overrides: Of its options.
        trust: Import classes that its config names by path.
        decoders_later: Build decoders when the first is asked for, where nothing else needs them: a first word then
            does not wait for the libraries that draw pictures. Until then they are not among the model's modules.
    """
    record, tensors = _read_verified(folder, trust=trust)
    check_required(record, str(folder))
    for key, hashes in record["references"].items():
        for path, digest in hashes.items():
            _require_reference(key, path, digest)
    section = overridden(record["model"], overrides, key="model")
    config = validate(ModelConfig, section, where="model")
    if decoders_later and not record["references"] and stands_without_decoders(config):
        return _without_decoders(cls, config, tensors, folder, trust=trust)
    with registered_names_only(not trust):
        model = cls(config)
    load_into(model.parts, _filled(model.parts, tensors, record["references"]), where=str(folder))
    return model.eval()


def _without_decoders(
    cls: type[Model], config: ModelConfig, tensors: Mapping[str, Tensor], folder: Path, *, trust: bool
) -> Model:
    """A model that adds its decoders, as a whole one has them, when the first is asked for."""
    own = {name: t for name, t in tensors.items() if not name.startswith(_DECODERS)}
    of_decoders = {name.removeprefix(_DECODERS): t for name, t in tensors.items() if name.startswith(_DECODERS)}
    with registered_names_only(not trust):
        model = cls(config, parts=assemble(config, decoders=False))
    load_into(model.parts, own, where=str(folder))
    model.eval()

    def later(parts: Parts) -> None:
        try:
            with registered_names_only(not trust):
                add_decoders(config, parts)
            load_into(parts.decoders, of_decoders, where=str(folder))
        except BaseException:
            parts.decoders.clear()
            raise
        parts.freeze()
        parts.decoders.eval()

    model.parts.later = later
    return model


def start_from(parts: Parts, folder: Path, only: Sequence[str] = ()) -> list[str]:
    """Load the tensors of a saved model, or of a folder of tensors alone, into the parts of a model.

    What the saved model left out stays as the parts read it from their own files, which must be the same. Parts that it
    does not have start new, and so do the tags of modalities that it does not have.

    Args:
        parts: The parts of the model.
        folder: The saved model, or the name of one that ships with a recipe.
        only: Take only these parts of it, such as ``encoders`` or ``decoders.brush``; all others start new.

    Returns:
        The parts that start new.

    Raises:
        anyloom.errors.CheckpointError: The folder is incomplete or changed, or does not belong to these parts.
    """
    folder, own = model_folder(folder), parts.state_dict()
    names = list(parts.representations)
    if not is_saved_model(folder):
        for note in [] if headers_only() else check_first_use([folder]):  # there is no list of what it should hold
            tell(note)
        tensors, new = fitted(own, read_tensors(folder), modalities=(names, names), parts=only)
        _load_or_say_what_fits(parts, own, tensors, folder)
        return new
    record, tensors = _read_verified(folder, trust=True)  # only its tensors and hashes are used
    named = {part.key: part for part in _named_parts(parts)}
    for key, hashes in record["references"].items():
        if headers_only() or (only and not any(key == part or key.startswith(f"{part}.") for part in only)):
            continue
        present = sorted(sha256(f) for f in named[key].files if f.is_file()) if key in named else []
        if present != sorted(hashes.values()):
            raise CheckpointError(
                f"it was trained with other files for {key} than this config names",
                where=str(folder),
                fix=f"name the files it was trained with: {', '.join(map(str, hashes))}",
            )
    saved_names = record["model"].get("modalities") or {}
    filled = _filled(parts, tensors, record["references"])
    tensors, new = fitted(own, filled, modalities=(saved_names, names), parts=only)
    _load_or_say_what_fits(parts, own, tensors, folder)
    return new


def _load_or_say_what_fits(
    parts: Parts, own: Mapping[str, Tensor], tensors: Mapping[str, Tensor], folder: Path
) -> None:
    """Load tensors into a model; where they do not belong to it, the error names the parts that do."""
    try:
        load_into(parts, tensors, where=str(folder))
    except CheckpointError as error:
        fits = fitting_parts(own, tensors)
        if not fits or len(fits) == len({part_of(name) for name in own}):
            raise
        fix = f"take over what fits: start_from: {{folder: {folder}, parts: [{', '.join(fits)}]}}"
        raise CheckpointError(error.what, where=error.where, fix=fix) from error


@dataclass(frozen=True)
class _NamedPart:
    """A component of a model.

    Args:
        key: YAML key below ``model``.
        prefix: Of its names in the state dict.
        component: The component.
        default: Its options where the config leaves them to the component it is part of.
    """

    key: str
    prefix: str
    component: NeuralComponent
    default: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Of its subfolder in a saved model."""
        return self.key.replace(".", "-")

    @property
    def files(self) -> list[Path]:
        """Its weight files, one by one."""
        paths = [split_part(path)[0] for path in self.component.weight_files()]
        return [f for path in paths for f in (sorted(path.rglob("*.safetensors")) if path.is_dir() else [path])]

    def options(self, sections: dict[str, Any]) -> dict[str, Any]:
        """Its options among the sections of the model."""
        found: Any = sections
        *outer, last = self.key.split(".")
        for key in outer:
            found = found[key]
        options = found.setdefault(last, dict(self.default))
        assert isinstance(options, dict)
        return options


def _named_parts(parts: Parts) -> list[_NamedPart]:
    """Every component, by the one list that loading, checking and freezing use too."""
    return [
        named
        for part in parts.components()
        for named in _with_nested(_NamedPart(part.key.removeprefix("model."), part.prefix, part.component))
    ]


def _with_nested(part: _NamedPart) -> Iterator[_NamedPart]:
    """A component and those inside it, inside out: an outer one may change the options that inner ones have set."""
    for option, inner in part.component.nested().items():
        default = getattr(part.component.config, option)
        yield from _with_nested(_NamedPart(f"{part.key}.{option}", f"{part.prefix}.{option}", inner, default))
    yield part


def _kept(parts: nn.Module, left_out: tuple[str, ...], dtype: str | None) -> dict[str, Tensor]:
    """The tensors to write: all but those of parts that are referred to, and of these what was trained all the same."""
    trained = {name for name, p in parts.named_parameters() if p.requires_grad}
    state = {k: v for k, v in parts.state_dict().items() if k in trained or not k.startswith(left_out)}
    return state if dtype is None else {k: _halved(k, v, _HALF[dtype]) for k, v in state.items()}


def _halved(name: str, tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """A matrix or kernel in half precision. Vectors (norms, biases, statistics) are small and stay as they are."""
    if not tensor.is_floating_point() or tensor.ndim < 2:
        return tensor
    half = tensor.to(dtype)
    if not bool(half.isfinite().all()) and bool(tensor.isfinite().all()):
        raise CheckpointError(
            f"values of {name} are too large for {str(dtype).removeprefix('torch.')}",
            where="save_pretrained",
            fix="save in float32 or bfloat16",
        )
    return half


def _refer(part: _NamedPart, options: dict[str, Any], folder: Path, draft: Path) -> dict[str, str]:
    """Write a part's paths relative to the folder, and its tokenizer into it; return the SHA-256 of its files."""
    missing = [f for f in part.files if not f.is_file()]
    if missing:
        raise CheckpointError(
            f"the weights of {part.key} are no files here, so the saved model cannot refer to them",
            where=str(missing[0]),
            fix="fetch them into a folder and name that, or save with include_frozen=True",
        )
    portable = part.component.portable_options(draft, part.name)
    options.update({k: v for k, v in portable.items() if isinstance(v, str) and v.startswith("@/")})
    outside = {str(path) for path in part.component.weight_files()} | {str(p) for p in _path_options(part).values()}
    for name, value in options.items():
        if isinstance(value, str) and value in outside:
            options[name] = f"@/{_relative(Path(value), folder)}"
    return {_relative(file, folder): sha256(file) for file in part.files}


def _relative(path: Path, folder: Path) -> str:
    return os.path.relpath(path.resolve(), folder.resolve())


def _carry_files(part: _NamedPart, options: dict[str, Any], draft: Path) -> None:
    """Copy the files that options still name into the folder being written."""
    for name, path in _path_options(part).items():
        if options.get(name) == str(path) and path.is_file():
            target = draft / part.name / path.name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
            options[name] = f"@/{part.name}/{path.name}"


def _path_options(part: _NamedPart) -> dict[str, Path]:
    config = part.component.config
    values = {name: getattr(config, name) for name in type(config).model_fields}
    return {name: value for name, value in values.items() if isinstance(value, Path)}


def _read_verified(folder: Path, *, trust: bool) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The record and the tensors of a saved model whose files are those that were saved."""
    record = read_record(folder, trust=trust)
    tensors = read_tensors(folder)  # first, so that a file that is cut off is told from one that is another
    if not headers_only():
        verify(folder, record["files"], record["paths"])
    return record, tensors


def _require_reference(key: str, path: Path, digest: str) -> None:
    if path.suffix != ".safetensors":
        raise CheckpointError(f"no file of weights (for {key})", where=str(path), fix="refer to safetensors files")
    if not os.path.isfile(path) or sha256(path) != digest:  # false for what cannot be a path
        raise CheckpointError(
            f"the model was saved with another file here (for {key})", where=str(path), fix="put that file back"
        )


def _filled(parts: Parts, tensors: Mapping[str, Tensor], references: Mapping[str, Any]) -> dict[str, Tensor]:
    """The saved tensors, and of the parts that were left out what these have read from their own files."""
    prefixes = tuple(part.prefix + "." for part in _named_parts(parts) if part.key in references)
    own = {k: v for k, v in parts.state_dict().items() if k.startswith(prefixes)} if prefixes else {}
    return own | dict(tensors)
