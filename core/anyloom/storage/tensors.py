"""Reading and writing safetensors files with clear errors. No pickle is ever opened here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from anyloom.errors import CheckpointError
from anyloom.storage.atomic import replacing, system_errno
from anyloom.storage.headers import describe, headers_only, tensor_files
from anyloom.storage.saved_part import only_part, split_part

__all__ = ["check_report", "load_into", "non_finite", "read_tensors", "write_tensors"]


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read one ``.safetensors`` file, a folder's ``model.safetensors`` or indexed shards, or ``FOLDER#part``.

    Inside :func:`anyloom.storage.headers.reading_headers` tensors are on the meta device, and only headers are read.

    Raises:
        anyloom.errors.CheckpointError: Nothing is there; a file is truncated or not safetensors; an index names files
            outside its folder, or a tensor that its file does not have.
    """
    folder, part = split_part(path)
    if part:
        return only_part(read_tensors(folder), folder, part, verify=not headers_only())
    tensors: dict[str, Tensor] = {}
    for file, names in tensor_files(path).items():
        described = describe(file)
        if names is not None and (odd := sorted(names ^ described.keys())):
            raise CheckpointError(
                f"the file and the index do not name the same tensors ({', '.join(odd[:3])})",
                where=str(file),
                fix="fetch the folder again, whole",
            )
        if headers_only():
            tensors |= {k: torch.empty(d.shape, dtype=d.dtype, device="meta") for k, d in described.items()}
            continue
        try:
            tensors |= load_file(file)
        except (SafetensorError, OSError) as error:
            raise CheckpointError(
                f"the file is truncated or not safetensors ({error})", where=str(file), fix="fetch or write it again"
            ) from error
    return tensors


def write_tensors(tensors: Mapping[str, Tensor], path: Path, metadata: Mapping[str, str] | None = None) -> None:
    """Write tensors to one ``.safetensors`` file, making its folder; a file there is replaced at the end only.

    Raises:
        anyloom.errors.CheckpointError: A value is NaN or infinite, a tensor has no plain values (sparse, quantised,
            on the meta device), or the file cannot be written. An older file is as it was.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_tensors({"w": torch.ones(2)}, Path(folder) / "a.safetensors")
    ...     read_tensors(Path(folder) / "a.safetensors")
    {'w': tensor([1., 1.])}
    """
    plain = {str(name): _plain(str(name), tensor, path) for name, tensor in tensors.items()}
    if bad := non_finite(plain):
        raise CheckpointError(
            f"{len(bad)} tensors have values that are not finite ({', '.join(bad[:3])}); nothing was written",
            where=str(path),
            fix="train from the last good checkpoint, with a smaller learning rate or clipped gradients",
        )
    with replacing(path) as draft:
        try:
            save_file(_unshared(plain), draft, dict(metadata or {}))
        except SafetensorError as error:  # safetensors wraps what the file system says
            raise OSError(system_errno(error), f"{error}") from error


def non_finite(tensors: Mapping[str, Tensor]) -> list[str]:
    """Names of tensors with a NaN or an infinite value; masks of zeros and minus infinity are as they should be.

    >>> non_finite({"good": torch.ones(2), "bad": torch.tensor([1.0, float("nan")])})
    ['bad']
    """
    return [name for name, t in tensors.items() if t.is_floating_point() and not t.is_meta and not _finite(t)]


def load_into(module: nn.Module, tensors: Mapping[str, Tensor], *, where: str) -> None:
    """Load tensors into a module: every key must be there, none may be left, shapes and kinds of number must agree.

    Floating point tensors may have another precision than the module's; they are converted. All must be finite.

    Raises:
        anyloom.errors.CheckpointError: Lists the first missing, unexpected, misshapen and unfit keys.

    >>> layer = nn.Linear(2, 1)
    >>> load_into(layer, {"weight": torch.ones(1, 2), "bias": torch.zeros(1)}, where="a.safetensors")
    >>> layer.weight.tolist()
    [[1.0, 1.0]]
    >>> try:
    ...     load_into(layer, {"weight": torch.ones(1, 3), "bias": torch.zeros(1)}, where="a.safetensors")
    ... except CheckpointError as error:
    ...     print(error.what)
    the weights do not belong to this Linear (1 shapes wrong: weight is (1, 3), expected (1, 2))
    """
    own: dict[str, Any] = module.state_dict()
    both = sorted(own.keys() & tensors.keys())
    missing, extra = sorted(own.keys() - tensors.keys()), sorted(tensors.keys() - own.keys())
    shapes = [
        f"{k} is {tuple(tensors[k].shape)}, expected {tuple(own[k].shape)}"
        for k in both
        if own[k].shape != tensors[k].shape
    ]
    kinds = [
        f"{k} is {_name(tensors[k].dtype)}, expected {_name(own[k].dtype)}"
        for k in both
        if not _fits(tensors[k], own[k])
    ]
    problems = _named(
        ("keys missing", missing), ("keys unexpected", extra), ("shapes wrong", shapes), ("types wrong", kinds)
    )
    if problems:
        raise CheckpointError(
            f"the weights do not belong to this {getattr(type(module), 'called', type(module).__name__)} ({problems})",
            where=where,
            fix=_part_with(missing, extra, where) or "use the config the weights were trained with",
        )
    if bad := non_finite(tensors):
        raise CheckpointError(
            f"{len(bad)} tensors have values that are not finite ({', '.join(bad[:3])})",
            where=where,
            fix="use weights of a run that did not diverge",
        )
    if not headers_only():
        module.load_state_dict(dict(tensors))


def _part_with(missing: Sequence[str], extra: Sequence[str], where: str) -> str:
    """What to write where the tensors are those of a whole model, and one part of it has all that are missing."""
    if not missing or "#" in where:
        return ""
    found = set(extra)
    for name in extra:
        if name.endswith(f".{missing[0]}"):
            prefix = name.removesuffix(f".{missing[0]}")
            if all(f"{prefix}.{key}" in found for key in missing):
                return f"this is a whole model; name the part: {where}#{prefix}"
    return ""


def check_report(report: Mapping[str, Iterable[Any]], *, where: str) -> None:
    """Refuse a published checkpoint that does not fill its model or has more; the libraries only warn.

    Args:
        report: What ``from_pretrained(..., output_loading_info=True)`` of transformers or diffusers returns.
        where: The folder.

    Raises:
        anyloom.errors.CheckpointError: Lists the first keys that are missing, unexpected and misshapen.

    >>> check_report({"missing_keys": [], "unexpected_keys": []}, where="weights")
    >>> try:
    ...     check_report({"missing_keys": ["head.weight"]}, where="weights")
    ... except CheckpointError as error:
    ...     print(error.what)
    the weights are not those of the model that config.json describes (1 keys missing: head.weight)
    """
    labels = {"missing_keys": "keys missing", "unexpected_keys": "keys unexpected", "mismatched_keys": "shapes wrong"}
    problems = _named(*((label, sorted(map(str, report.get(key, ())))) for key, label in labels.items()))
    if problems:
        raise CheckpointError(
            f"the weights are not those of the model that config.json describes ({problems})",
            where=where,
            fix="fetch the folder again, whole",
        )


def _plain(name: str, tensor: Tensor, path: Path) -> Tensor:
    if tensor.is_meta or tensor.layout is not torch.strided or tensor.is_quantized:
        raise CheckpointError(f"the tensor {name!r} has no plain values to write", where=str(path))
    return tensor.detach().cpu().contiguous()


def _unshared(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors, with a copy of each that shares its memory with one before it (tied weights) and of no other."""
    seen: set[int] = set()
    own: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        memory = tensor.untyped_storage().data_ptr()
        own[name] = tensor.clone() if memory in seen and tensor.numel() else tensor
        seen.add(memory)
    return own


def _finite(tensor: Tensor) -> bool:
    """One pass without a temporary: a NaN wins both ends of the range."""
    if not tensor.numel():
        return True
    values = tensor.float() if tensor.element_size() == 1 else tensor  # torch has no arithmetic on eight bits
    return bool(torch.stack(torch.aminmax(values)).isfinite().all()) or _is_mask(values)


def _is_mask(values: Tensor) -> bool:
    """Whether a tensor is an attention mask to add, of zeros and minus infinity, as published checkpoints hold."""
    if values.ndim < 2 or values.max() != 0:
        return False
    return bool(((values == 0) | values.isneginf()).all())


def _fits(given: Tensor, own: Tensor) -> bool:
    """Whether values go into a tensor without a change of meaning: any precision of floats, else the same type."""
    if given.is_floating_point() and own.is_floating_point():
        return given.element_size() > 1
    return given.dtype == own.dtype


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _named(*groups: tuple[str, list[str]]) -> str:
    """The first three of each group that has any."""
    return "; ".join(
        f"{len(keys)} {label}: {', '.join(keys[:3])}{' ...' if len(keys) > 3 else ''}" for label, keys in groups if keys
    )
