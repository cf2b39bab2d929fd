"""The encoder ``captions``: what stands for a medium is another encoder's features of its caption.

As ``target_encoder`` of a modality it is NExT-GPT's way (arXiv 2309.05519, section 4.2): the language model predicts
what the text encoder of a frozen text-to-image pipeline says of the caption, so that the pipeline's own decoder reads
the prediction; no picture is encoded.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

from pydantic import Field
from torch import Tensor

from anyloom.building import build_named
from anyloom.conversation import Media
from anyloom.errors import ConfigError, MediaError
from anyloom.interfaces import Encoder, FeatureSpace
from anyloom.media import io_for

__all__ = ["CaptionEncoder"]


class CaptionEncoder(Encoder):
    """Encodes ``media.caption`` by an encoder of text; the media themselves are never opened.

    >>> import torch
    >>> encoder = CaptionEncoder(CaptionEncoder.Config(encoder={"class_path": "anyloom_captions.tiny.Letters"}))
    >>> picture = Media("image", torch.zeros(3, 8, 8)).captioned("a red hat")
    >>> encoder(encoder.preprocess(picture)[None], "image").shape
    torch.Size([1, 1, 8])
    """

    class Config(Encoder.Config):
        """Options.

        Args:
            encoder: Component that encodes text, such as ``{name: imagebind, modalities: [text-feature]}``.
            modalities: Of the media that have captions.
            text: The modality in which that component takes text; its medium is made by ``from_text``.
        """

        encoder: dict[str, Any]
        modalities: tuple[str, ...] = Field(("image",), min_length=1)
        text: str = "text-feature"

    config: Config

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        options = {"freeze": config.freeze, **config.encoder}
        self.encoder = cast(Encoder, build_named("encoder", options, where="encoder"))

    def feature_space(self, modality: str) -> FeatureSpace:
        """The space of the words.

        Raises:
            anyloom.errors.ConfigError: The modality is none of ``modalities``.
        """
        if modality not in self.config.modalities:
            fix = f"add it to 'modalities' (now {', '.join(self.config.modalities)})"
            raise ConfigError(f"captions of {modality!r} are not encoded", where="modalities", fix=fix)
        return self.encoder.feature_space(self.config.text)

    def preprocess(self, media: Media) -> Tensor:
        """The caption as the inner encoder wants it, such as ids ``(77,)``.

        Raises:
            anyloom.errors.MediaError: The medium has no caption.
        """
        if not media.caption:
            raise MediaError(
                f"a {media.modality} without a caption, whose features are to be predicted",
                where=media.path or media.key,
                fix='write "caption" into its part of the conversation, or predict features of the medium itself',
            )
        words = io_for(self.config.text).from_text(media.caption)
        return self.encoder.preprocess(replace(words, modality=self.config.text))

    def forward(self, inputs: Tensor, modality: str) -> Tensor:
        """Encode captions into ``(B, L, D)``."""
        features: Tensor = self.encoder(inputs, self.config.text)
        return features

    def example(self, modality: str) -> Tensor:
        """One blank text ``(1, N)``, as :meth:`preprocess` gives it."""
        return self.encoder.example(self.config.text)
