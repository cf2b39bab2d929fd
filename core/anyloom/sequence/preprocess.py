"""A component's ``preprocess`` for data workers: what is pickled is the component's class and config, no weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from anyloom.conversation.segments import Media
from anyloom.interfaces.promises import tensor

__all__ = ["Preprocess"]


class _Preparing(Protocol):
    config: Any

    def preprocess(self, media: Media) -> Tensor: ...


@dataclass(frozen=True)
class Preprocess:
    """Calls the ``preprocess`` of an encoder or decoder.

    In another process the component is rebuilt from its config on the meta device: preprocessing may read options,
    but neither parameters nor buffers.

    Args:
        component: The encoder or decoder.
    """

    component: _Preparing

    def __call__(self, media: Media) -> Tensor:
        """Return one media item as a tensor.

        Raises:
            anyloom.errors.PluginError: The component gives something else.
        """
        return tensor(self.component.preprocess(media), self.component, "preprocess")

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuilt, (type(self.component), self.component.config)


def _rebuilt(cls: type[Any], config: Any) -> Preprocess:
    with torch.device("meta"):
        return Preprocess(cls(config))
