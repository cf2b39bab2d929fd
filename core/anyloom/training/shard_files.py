"""Checkpoints in shards: a folder in which every process writes what it holds, and any number of processes reads.

::

    last.ckpt/files.json        which folder is meant, and the SHA-256 of its files
    last.ckpt/<folder>/trainer.ckpt                    everything but tensors of weights and moments
    last.ckpt/<folder>/shard-00001-model-....safetensors   those of the first process

``files.json`` is replaced at once and last, so the checkpoint is the old one or the new one. Tensors are in
safetensors files, each with its place in the whole, by ``torch.distributed.checkpoint``; no pickled plan is kept.
"""

from __future__ import annotations

import json
import re
import secrets
import shutil
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader, HuggingFaceStorageWriter
from torch.distributed.checkpoint.metadata import TensorStorageMetadata
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save

from anyloom.errors import AnyloomError, CheckpointError
from anyloom.limits import limit
from anyloom.storage.atomic import file_error, flush, write_text
from anyloom.storage.hashes import listed, sha256
from anyloom.storage.json_text import read_json

__all__ = ["TRAINER", "joined", "read_whole", "save_shards", "taken_apart", "tensors_into", "verify_shards"]

TRAINER: Final = "trainer.ckpt"
_LIST: Final = "files.json"
_FOLDER: Final = re.compile(r"[0-9a-f]{16}")
_FIX: Final = "resume from another one"

Group: TypeAlias = dist.ProcessGroup | None


def save_shards(content: Mapping[str, Any], path: Path, *, group: Group = None) -> None:
    """Write a checkpoint; every process calls it with its own shards.

    Args:
        content: What a trainer keeps.
        path: The checkpoint.
        group: The processes; that of the training by default.

    Raises:
        anyloom.errors.CheckpointError: Some process could not write; the checkpoint before is as it was.
    """
    folder = path / _from_first(secrets.token_hex(8), group)
    tensors, rest = taken_apart(content)

    def write() -> dict[str, str]:
        folder.mkdir(parents=True, exist_ok=True)
        if _rank() == 0:
            torch.save(rest, folder / TRAINER)
        return {}

    def digests() -> dict[str, str]:
        own = sorted(folder.glob(f"shard-{_rank() + 1:05d}-*")) + ([folder / TRAINER] if _rank() == 0 else [])
        for file in own:
            flush(file)
        return {file.name: sha256(file) for file in own}

    try:
        _everywhere(write, path, group=group)
        _everywhere(lambda: _write_tensors(tensors, folder, group), path, group=group)
        files = {name: digest for found in _everywhere(digests, path, group=group) for name, digest in found.items()}
        _everywhere(lambda: _point_to(path, folder, files) if _rank() == 0 else {}, path, group=group)
    except BaseException:
        if _rank() == 0:
            shutil.rmtree(folder, ignore_errors=True)
        raise


def verify_shards(path: Path, *, together: bool = False) -> Path:
    """Return the folder of a checkpoint in shards, if it is as it was written.

    Args:
        path: The checkpoint.
        together: Every process calls it, and reads its share of the files alone.

    Raises:
        anyloom.errors.CheckpointError: It is no such checkpoint, or damaged. If one process finds that, all raise it.
    """
    if not together:
        return _verified(path, 0, 1)
    size = dist.get_world_size() if dist.is_initialized() else 1
    folder = ""

    def verify() -> dict[str, str]:
        nonlocal folder
        folder = str(_verified(path, _rank(), size))
        return {}

    _everywhere(verify, path, doing="read")
    return Path(folder)


def _verified(path: Path, first: int, every: int) -> Path:
    """Look at the list, at which files there are, and into every so many of them."""
    where = path / _LIST
    if not where.exists():
        raise CheckpointError("this folder is no checkpoint", where=str(path), fix=_FIX)
    value = read_json(where, what="cannot be read", fix=_FIX, kind=object, most=limit("header-bytes"))
    name = value.get("folder") if isinstance(value, dict) else None
    if not isinstance(name, str) or not _FOLDER.fullmatch(name):
        raise CheckpointError("it names no folder of shards", where=str(where), fix=_FIX)
    files = listed(value.get("files"), where=str(where), needed=[TRAINER])
    folder = path / name
    there = {file.name for file in folder.glob("*.safetensors")} | {TRAINER}
    share = sorted(files.items())[first::every]
    if there != set(files) or any(not (folder / f).is_file() or sha256(folder / f) != d for f, d in share):
        raise CheckpointError("the checkpoint is damaged (it is not what was written)", where=str(path), fix=_FIX)
    return folder


def read_whole(folder: Path, rest: Mapping[str, Any]) -> dict[str, Any]:
    """The content with every tensor whole, as a checkpoint in one file has it.

    Args:
        folder: Of shards, verified.
        rest: What its :data:`TRAINER` holds.

    Raises:
        anyloom.errors.CheckpointError: The shards are none, or do not make up the tensors they say.
    """
    with _reading(folder), _alone():
        template = {k: torch.empty(m.size, dtype=m.properties.dtype) for k, m in _known(folder).items()}
        load(template, storage_reader=_reader(folder), no_dist=True)
        return joined(template, rest)


def tensors_into(folder: Path, rest: Mapping[str, Any], template: Mapping[str, Any]) -> dict[str, Any]:
    """The content with tensors sharded as those of a template; every process calls it.

    Args:
        folder: Of shards, verified.
        rest: What its :data:`TRAINER` holds.
        template: ``state_dict`` and ``optimizer_states`` as this process holds them; what the checkpoint lacks is left
            out.

    Raises:
        anyloom.errors.CheckpointError: As :func:`read_whole`.
    """
    with _reading(folder):
        known = _known(folder)
        wanted = {k: t for k, t in taken_apart(template)[0].items() if k in known}
        load(wanted, storage_reader=_reader(folder))
        return joined(wanted, rest)


def _write_tensors(tensors: dict[str, Tensor], folder: Path, group: Group) -> dict[str, str]:
    writer = HuggingFaceStorageWriter(str(folder), save_distributed=True)
    alone = not dist.is_initialized()
    # filters of warnings are the whole program's, and this may run in a thread
    with _alone() if alone else nullcontext():
        save(tensors, storage_writer=writer, process_group=group, no_dist=alone)
    return {}


@contextmanager
def _alone() -> Iterator[None]:
    """Without the remark that one process reads or writes for itself."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "torch.distributed is disabled")
        yield


@contextmanager
def _reading(folder: Path) -> Iterator[None]:
    """Headers may be anybody's: whatever a library makes of them is one error."""
    try:
        yield
    except AnyloomError:
        raise
    except Exception as error:
        text = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        raise CheckpointError(f"the shards cannot be read ({text})", where=str(folder), fix=_FIX) from error


def _known(folder: Path) -> dict[str, TensorStorageMetadata]:
    """Shape and type of every tensor, from the headers of the files.

    Raises:
        anyloom.errors.CheckpointError: A tensor is said to be larger than what is there: its memory would be taken.
    """
    there = _reader(folder).read_metadata().state_dict_metadata
    known = {key: found for key, found in there.items() if isinstance(found, TensorStorageMetadata)}
    for key, found in known.items():
        if found.size.numel() != sum(chunk.sizes.numel() for chunk in found.chunks):
            what = f"{key} is said to be {tuple(found.size)}, of which the shards hold another number of values"
            raise CheckpointError(what, where=str(folder), fix=_FIX)
    return known


def _reader(folder: Path) -> HuggingFaceStorageReader:
    return HuggingFaceStorageReader(str(folder))


def _point_to(path: Path, folder: Path, files: Mapping[str, str]) -> dict[str, str]:
    """Make ``folder`` the checkpoint, then delete those before it."""
    flush(folder)
    write_text(path / _LIST, json.dumps({"folder": folder.name, "files": dict(files)}, indent=1) + "\n")
    for other in path.iterdir():
        if other.is_dir() and other != folder and _FOLDER.fullmatch(other.name):
            shutil.rmtree(other, ignore_errors=True)
    return {}


def taken_apart(content: Mapping[str, Any]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors of weights and moments by one flat name each, and everything else.

    Scalars, such as the number of steps that AdamW keeps for each parameter, stay with the rest.
    """
    weights = dict(content.get("state_dict", {}))
    moments = [dict(state) for state in content.get("optimizer_states", [])]
    tensors = {f"weights/{k}": t for k, t in weights.items() if _large(t)}
    rest = {**content, "state_dict": {k: t for k, t in weights.items() if not _large(t)}}
    states: list[dict[str, Any]] = []
    for n, state in enumerate(moments):
        kept: dict[str, dict[str, Any]] = {}
        for name, values in state.get("state", {}).items():
            tensors |= {f"moments/{n}/{name}/{k}": t for k, t in values.items() if _large(t)}
            kept[name] = {k: v for k, v in values.items() if not _large(v)}
        states.append({**state, "state": kept})
    if "optimizer_states" in content:
        rest["optimizer_states"] = states
    return tensors, rest


def joined(tensors: Mapping[str, Tensor], rest: Mapping[str, Any]) -> dict[str, Any]:
    """The content that :func:`taken_apart` has taken apart."""
    content = {**rest, "state_dict": dict(rest.get("state_dict", {}))}
    for key, tensor in tensors.items():
        kind, _, name = key.partition("/")
        if kind == "weights":
            content["state_dict"][name] = tensor
        else:
            number, parameter, moment = name.split("/")
            content["optimizer_states"][int(number)]["state"][parameter][moment] = tensor
    return content


def _large(value: Any) -> bool:
    return isinstance(value, Tensor) and value.ndim > 0


def _rank() -> int:
    return dist.get_rank() if dist.is_initialized() else 0


def _from_first(value: str, group: Group) -> str:
    """The first process's value in all of them."""
    values = [value]
    if dist.is_initialized():
        dist.broadcast_object_list(values, group=group)
    return values[0]


def _everywhere(
    action: Callable[[], dict[str, str]],
    path: Path,
    doing: Literal["written", "read"] = "written",
    group: Group = None,
) -> list[dict[str, str]]:
    """Run an action in every process and return what each gave; an error of one is an error of all.

    Otherwise those without one would wait for it for ever.
    """
    own: tuple[dict[str, str], str] = ({}, "")
    error: Exception | None = None
    try:
        own = (action(), "")
    except Exception as caught:
        error, own = caught, ({}, " ".join(str(caught).split())[:300] or type(caught).__name__)
    found = [own]
    if dist.is_initialized():
        found = [own] * dist.get_world_size()
        dist.all_gather_object(found, own, group=group)
    failed = next(_texts(found), None)
    if failed is not None:
        if isinstance(error, OSError):
            raise file_error(error, path) from error
        if isinstance(error, AnyloomError):
            raise error
        raise CheckpointError(f"cannot be {doing} ({failed})", where=str(path), fix="look at its disk") from error
    return [result for result, _ in found]


def _texts(found: list[tuple[dict[str, str], str]]) -> Iterator[str]:
    return (text for _, text in found if text)
