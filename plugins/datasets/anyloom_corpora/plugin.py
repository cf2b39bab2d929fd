"""The records of this plugin. Light: the classes are imported when a config names them."""

from __future__ import annotations

from anyloom.discovery import ComponentSpec, hookimpl


@hookimpl
def anyloom_components() -> list[ComponentSpec]:
    """The text-feature modality."""
    return [
        ComponentSpec(
            kind="modality",
            name="text-feature",
            target="anyloom_corpora.text_feature:TextFeatureIO",
            tiny="anyloom_corpora.tiny:texts",
            modalities=("text-feature",),
            licence="Apache-2.0",
            summary="A piece of text that stands in a conversation as features of the text encoder",
            suffixes=(".txt",),
        )
    ]
