"""Records of this plugin."""

from __future__ import annotations

from anyloom.discovery import ComponentSpec, hookimpl


@hookimpl
def anyloom_components() -> list[ComponentSpec]:
    """The representation."""
    return [
        ComponentSpec(
            kind="representation",
            name="queries",
            target="anyloom_queries.queries:Queries",
            tiny="anyloom_queries.tiny:queries",
            licence="Apache-2.0",
            summary="Learned queries stand where a medium is made; a small transformer reads its features out of them",
        )
    ]
