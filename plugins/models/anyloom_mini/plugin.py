"""Records of this plugin."""

from __future__ import annotations

from anyloom.discovery import ComponentSpec, hookimpl


@hookimpl
def anyloom_components() -> list[ComponentSpec]:
    """Parts of the ordinary kinds that only very small models need."""
    return [
        ComponentSpec(
            kind="representation",
            name="edit",
            target="anyloom_mini.edit:Edit",
            licence="Apache-2.0",
            summary="Features are compared with, and predicted as changes of, the medium before",
        ),
    ]
