"""Records of this plugin."""

from __future__ import annotations

from anyloom.discovery import ComponentSpec, hookimpl


@hookimpl
def anyloom_components() -> list[ComponentSpec]:
    """An input and an output projector."""
    return [
        ComponentSpec(
            kind="projector",
            name="compare",
            target="anyloom_edit.projectors:CompareProjector",
            tiny="anyloom_edit.tiny:compare",
            licence="Apache-2.0",
            summary="Input projector that also shows the LLM products with the medium before",
        ),
        ComponentSpec(
            kind="projector",
            name="change",
            target="anyloom_edit.projectors:ChangeProjector",
            tiny="anyloom_edit.tiny:change",
            licence="Apache-2.0",
            summary="Output projector that predicts a banded linear change of the medium before",
        ),
    ]
