"""How much memory a computation takes beside its parameters: run on tensors without numbers, and counted."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

__all__ = ["peak_bytes"]


class _Counted(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Adds up the storages that operations make, and takes off those that are let go of."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now, self.peak = 0, 0
        self._known: dict[int, weakref.ref[Any]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = {id(t.untyped_storage()) for t in tree_leaves((args, kwargs)) if isinstance(t, torch.Tensor)}
        made = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            if isinstance(tensor, torch.Tensor):
                self._count(tensor.untyped_storage(), given)
        return made

    def _count(self, storage: Any, given: set[int]) -> None:
        key, size = id(storage), storage.nbytes()
        if key in self._known or key in given:  # a view, or a tensor that was there before
            return

        def gone(_: Any) -> None:
            self.now -= size
            self._known.pop(key, None)

        self._known[key] = weakref.ref(storage, gone)
        self.now += size
        self.peak = max(self.peak, self.now)


class _Fused(TorchFunctionMode):
    """Attention as the fused kernels of CPUs and GPUs do it: without its matrix."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is F.scaled_dot_product_attention:
            query, _, value = args[:3] if len(args) > 2 else (kwargs["query"], kwargs["key"], kwargs["value"])
            return query.new_empty(*query.shape[:-1], value.shape[-1])
        return func(*args, **(kwargs or {}))


def peak_bytes(compute: Callable[..., object], *inputs: Any) -> int:
    """The most bytes that are held at one time while ``compute(*inputs)`` runs without gradient, inputs left out.

    Meant for the meta device, where nothing is computed. What kernels take for themselves is not counted.

    >>> peak_bytes(lambda x: ((x + 1) * 2).sum(), torch.empty(1000, device="meta"))
    8000
    """
    with torch.no_grad(), _Fused(), _Counted() as counted:
        compute(*inputs)
    return int(counted.peak)
