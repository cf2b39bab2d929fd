"""The metrics and extractors of this package. Light: the classes load when a config names them."""

from __future__ import annotations

from anyloom.discovery import ComponentSpec, hookimpl


@hookimpl
def anyloom_components() -> list[ComponentSpec]:
    """Nothing yet."""
    return []
