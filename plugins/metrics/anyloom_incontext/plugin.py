"""The metrics of this package. Light: the classes load when a config names them."""

from __future__ import annotations

from anyloom.discovery import ComponentSpec, hookimpl


@hookimpl
def anyloom_components() -> list[ComponentSpec]:
    """Retrieval among candidates, feature error, spectral distance of sounds, words of captions, choices in a grid."""
    return [
        ComponentSpec(
            kind="metric",
            name="retrieval",
            target="anyloom_incontext.retrieval:Retrieval",
            licence="Apache-2.0",
            summary="is the predicted feature nearest to the target among candidates? with two baselines",
        ),
        ComponentSpec(
            kind="metric",
            name="feature-error",
            target="anyloom_incontext.feature_error:FeatureError",
            licence="Apache-2.0",
            summary="error of the predicted feature relative to copying the input",
        ),
        ComponentSpec(
            kind="metric",
            name="spectral-distance",
            target="anyloom_incontext.spectral_distance:SpectralDistance",
            tiny="anyloom_incontext.tiny:spectral_distance",
            modalities=("audio",),
            licence="Apache-2.0",
            summary="log-spectral distance of a decoded sound relative to copying the input",
        ),
        ComponentSpec(
            kind="metric",
            name="caption-words",
            target="anyloom_incontext.caption_words:CaptionWords",
            tiny="anyloom_incontext.tiny:caption_words",
            modalities=("text",),
            licence="Apache-2.0",
            summary="exact matches, word recall and attribute words of generated text",
        ),
        ComponentSpec(
            kind="metric",
            name="picture-choice",
            target="anyloom_incontext.picture_choice:PictureChoice",
            tiny="anyloom_incontext.tiny:picture_choice",
            licence="Apache-2.0",
            summary="the given and the inferred word of CoBSAT's question, by the nearest picture of a grid",
        ),
    ]
