"""Media -> the tensor that the encoder stacks: one function per modality, chosen by name."""

from __future__ import annotations

import functools
from typing import Final

import torch
from torch import Tensor

from anyloom.conversation import Media
from anyloom.errors import ConfigError, MediaError
from anyloom_imagebind.config import ImageBindConfig
from anyloom_imagebind.motion import motion_input
from anyloom_imagebind.pictures import clip_inputs, disparity, picture_input, square_plane
from anyloom_imagebind.sound import sound_inputs
from anyloom_imagebind.stems import CONTEXT
from anyloom_imagebind.text import TextTokenizer

__all__ = ["Preparation", "blank"]

_INTEGERS: Final = (torch.int16, torch.int32, torch.int64)
_BLANK: Final[dict[str, tuple[tuple[int, ...], dict[str, float]]]] = {
    "image": ((3, 8, 8), {}),
    "video": ((2, 3, 8, 8), {"fps": 1.0}),
    "audio": ((1, 16_000), {"sample_rate": 16_000.0}),
    "depth": ((1, 8, 8), {}),
    "thermal": ((1, 8, 8), {}),
    "imu": ((6, 2_000), {"sample_rate": 200.0}),
}


def blank(modality: str) -> Media:
    """The smallest medium of a modality, of zeros; of depth, one metre everywhere."""
    if modality in ("text", "text-feature"):
        return Media(modality, torch.zeros(CONTEXT, dtype=torch.long))
    shape, meta = _BLANK[modality]
    return Media(modality, torch.full(shape, float(modality == "depth")), meta=meta)


class Preparation:
    """Prepares media of all modalities. Holds options and the text tokenizer, no weights.

    Args:
        config: Options of the encoder.
    """

    def __init__(self, config: ImageBindConfig) -> None:
        self.config = config

    @functools.cached_property
    def tokenizer(self) -> TextTokenizer:
        """The text tokenizer, read when it is first needed.

        Raises:
            anyloom.errors.ConfigError: The config names no vocabulary.
            anyloom.errors.CheckpointError: The vocabulary is missing or broken.
        """
        if self.config.vocabulary is None:
            fix = "give the path of CLIP's bpe_simple_vocab_16e6.txt.gz or CLIPTokenizer folder"
            raise ConfigError("text needs a vocabulary", where="vocabulary", fix=fix)
        return TextTokenizer(self.config.vocabulary)

    def __call__(self, media: Media) -> Tensor:
        """Return the input of one media item.

        The data are: image ``(3, H, W)`` and video ``(T, 3, H, W)`` with ``fps``, uint8 or float in 0..1; audio
        ``(1, T)`` with ``sample_rate``; depth ``(1, H, W)`` in metres, with ``focal_length`` (pixels) and ``baseline``
        (metres) where known; thermal ``(1, H, W)``, uint8 or float in 0..1; imu ``(6, T)`` with ``sample_rate``;
        text, and text that stands in a conversation as features (``text-feature``), as ids ``(77,)`` or as its UTF-8
        bytes ``(T,)`` in uint8.

        Raises:
            anyloom.errors.MediaError: The data are of another form.
        """
        method = getattr(self, f"_{media.modality.replace('-', '_')}", None)
        if media.modality not in self.config.modalities:
            raise MediaError(f"this encoder does not prepare {media.modality!r}", where=media.path)
        if media.modality == "video":  # never whole: of a long clip a few frames are looked at
            return clip_inputs(media, self.config.video_clips, self.config.video_crops)
        assert method is not None  # the config takes no modality that is not prepared here
        prepared: Tensor = method(media, media.sample().detach().cpu())  # bytes, where a file holds bytes
        return prepared

    def _image(self, media: Media, data: Tensor) -> Tensor:
        return picture_input(data, media.path)

    def _audio(self, media: Media, data: Tensor) -> Tensor:
        return sound_inputs(data, media.meta.get("sample_rate", 0), self.config.audio_clips, media.path)

    def _depth(self, media: Media, data: Tensor) -> Tensor:
        camera = self.config.camera
        focal = media.meta.get("focal_length", camera.focal_length)
        return disparity(data, focal, media.meta.get("baseline", camera.baseline), media.path)

    def _thermal(self, media: Media, data: Tensor) -> Tensor:
        """Values in 0..1 stay so: with CLIP's mean and deviation users measured worse results on LLVIP."""
        return square_plane(data, media.path)

    def _imu(self, media: Media, data: Tensor) -> Tensor:
        return motion_input(data, media.meta.get("sample_rate", 0), media.path)

    def _text_feature(self, media: Media, data: Tensor) -> Tensor:
        return self._text(media, data)

    def _text(self, media: Media, data: Tensor) -> Tensor:
        if data.dtype in _INTEGERS and data.shape == (CONTEXT,):
            return data.long()
        if data.dtype != torch.uint8 or data.ndim != 1:
            what = f"expected ids (77,) or UTF-8 bytes (T,) in uint8, got {data.dtype} {tuple(data.shape)}"
            raise MediaError(what, where=media.path)
        try:
            text = bytes(data.tolist()).decode("utf-8")
        except UnicodeDecodeError as error:
            raise MediaError(f"the text is not UTF-8 ({error.reason})", where=media.path) from error
        return self.tokenizer(text)[0]
