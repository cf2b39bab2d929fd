"""CLIP (arXiv 2103.00020) with both towers, for CLIP-I, CLIP-T, CLIPScore and directional similarity."""

from __future__ import annotations

from typing import Any, Literal

from torch import Tensor

from anyloom.conversation import Media
from anyloom.errors import CheckpointError
from anyloom_metrics.extractors.joint import JointEncoder, projected
from anyloom_metrics.preparation.pictures import (
    CLIP_MEAN,
    CLIP_STD,
    directional_square,
    normalised,
    picture_bytes,
    square,
)

__all__ = ["JointCLIP"]

_BICUBIC = 3


class JointCLIP(JointEncoder):
    """CLIP through transformers. Embeddings are not normalised.

    >>> from tempfile import TemporaryDirectory
    >>> from pathlib import Path
    >>> from anyloom_metrics.tiny_extractors import write_clip
    >>> with TemporaryDirectory() as folder:
    ...     weights = str(write_clip(Path(folder)))  # random ones, in the published layout
    ...     print(JointCLIP(JointCLIP.Config(weights=weights)).feature_space("image"))
    clip-joint (1 x 8, raw)
    """

    modality = "image"
    space = "clip-joint"

    class Config(JointEncoder.Config):
        """Options.

        Args:
            resize: ``pillow`` as OpenAI's code and transformers do; ``instruct-pix2pix`` as the code behind published
                directional similarities does, without smoothing and without keeping proportions.
        """

        resize: Literal["pillow", "instruct-pix2pix"] = "pillow"

    config: Config

    @classmethod
    def network_class(cls) -> Any:
        """``CLIPModel``."""
        from transformers import CLIPModel

        return CLIPModel

    def read_sizes(self, numbers: dict[str, Any]) -> Any:
        """``CLIPConfig``."""
        from transformers import CLIPConfig

        return CLIPConfig(**numbers)

    def read_preparation(self, numbers: dict[str, Any]) -> dict[str, Any]:
        """Mean and deviation; anything that is not CLIP's way to a square is refused.

        Raises:
            anyloom.errors.CheckpointError: The folder asks for another way.
        """
        steps = ("do_resize", "do_center_crop", "do_rescale", "do_normalize")
        other = [f"{k}: false" for k in steps if numbers.get(k) is False]
        if numbers.get("resample", _BICUBIC) != _BICUBIC:
            other.append(f"resample: {numbers['resample']}")
        if other:
            raise CheckpointError(
                f"preprocessor_config.json asks for what is not done here ({', '.join(other)})", where=str(self.folder)
            )
        return numbers

    def preprocess(self, media: Media) -> Tensor:
        """Return a picture as ``(3, S, S)``, without mean and divided by deviation.

        Raises:
            anyloom.errors.MediaError: It is no picture, or its range is unknown.
        """
        picture = picture_bytes(media.tensor().detach().cpu(), media.path or media.key)
        size = int(self.sizes.vision_config.image_size)
        if self.config.resize == "instruct-pix2pix":
            return directional_square(picture[None].float() / 255, size=size)[0]
        mean, std = (self.preparation.get(f"image_{n}", d) for n, d in (("mean", CLIP_MEAN), ("std", CLIP_STD)))
        return normalised(square(picture, short_side=size, size=size), mean, std)

    def embed_media(self, inputs: Tensor) -> Tensor:
        """Embeddings ``(B, D)`` of pictures ``(B, 3, S, S)``."""
        return projected(self.network.get_image_features(pixel_values=inputs))
