"""A callback that a config can name, and that hands on to the one of the benchmark that is running."""

from __future__ import annotations

from typing import Any

import lightning

CURRENT: Any = None


class Forward(lightning.Callback):
    """Hands on the end of each batch."""

    def on_train_batch_end(self, *arguments: Any) -> None:
        CURRENT.on_train_batch_end(*arguments)
