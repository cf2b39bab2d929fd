"""Options of the encoder; the defaults are ImageBind-huge, the only published size."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal, get_args

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from anyloom.interfaces import ComponentConfig, Encoder
from anyloom.options import WrongOptionsError

__all__ = ["HUGE", "MODALITIES", "TOWERS", "DepthCamera", "ImageBindConfig", "ImageBindSizes", "Modality", "TowerSizes"]

Modality = Literal["image", "video", "audio", "text", "depth", "thermal", "imu", "text-feature"]
Tower = Literal["vision", "text", "audio", "depth", "thermal", "imu"]

MODALITIES: Final[tuple[Modality, ...]] = get_args(Modality)
TOWERS: Final[dict[str, Tower]] = {
    "image": "vision",
    "video": "vision",
    "text": "text",
    "audio": "audio",
    "depth": "depth",
    "thermal": "thermal",
    "imu": "imu",
    "text-feature": "text",
}
"""The tower (stem, trunk and head) that encodes each modality, in the published checkpoint's order."""


class TowerSizes(ComponentConfig):
    """Sizes of one transformer.

    Args:
        width: Width of its tokens.
        blocks: Number of blocks.
        heads: Attention heads of each block.
    """

    width: PositiveInt
    blocks: PositiveInt
    heads: PositiveInt

    @model_validator(mode="after")
    def _divides(self) -> TowerSizes:
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is not a multiple of {self.heads} heads")
        return self


class ImageBindSizes(ComponentConfig):
    """Sizes of all towers; the defaults are ImageBind-huge.

    Args:
        dim: Width of the common feature space.
        vocabulary: Text tokens, 49408 in CLIP's vocabulary.
        vision: Tower of pictures and clips (OpenCLIP ViT-H/14).
        text: Tower of text (OpenCLIP ViT-H/14's text model).
        audio: Tower of mel spectrograms.
        depth: Tower of disparity pictures.
        thermal: Tower of heat pictures.
        imu: Tower of accelerometer and gyroscope readings.
    """

    dim: PositiveInt = 1024
    vocabulary: PositiveInt = 49408
    vision: TowerSizes = TowerSizes(width=1280, blocks=32, heads=16)
    text: TowerSizes = TowerSizes(width=1024, blocks=24, heads=16)
    audio: TowerSizes = TowerSizes(width=768, blocks=12, heads=12)
    depth: TowerSizes = TowerSizes(width=384, blocks=12, heads=8)
    thermal: TowerSizes = TowerSizes(width=768, blocks=12, heads=12)
    imu: TowerSizes = TowerSizes(width=512, blocks=6, heads=8)

    def tower(self, name: str) -> TowerSizes:
        """Sizes of a tower by name."""
        sizes: TowerSizes = getattr(self, name)
        return sizes


HUGE: Final = ImageBindSizes()


class DepthCamera(ComponentConfig):
    """Camera that turns depth into disparity; ``meta`` of a media item may say otherwise under the same names.

    Args:
        focal_length: In pixels of the depth picture.
        baseline: Distance of the stereo pair, in metres.
    """

    focal_length: PositiveFloat = 518.857901
    baseline: PositiveFloat = 0.075


class ImageBindConfig(Encoder.Config):
    """Options of the encoder, besides ``freeze``.

    Args:
        size: ``huge``, or sizes of a model of your own.
        weights: ``.safetensors`` file or folder. ``anyloom imagebind-convert`` makes one of the published ``.pth``.
        download: Allow ``weights`` to name a hub repository that holds ``model.safetensors``.
        modalities: What is built; the others' tensors in ``weights`` are left out. All by default.
        features: ``pooled`` for one feature per media item; ``tokens`` for every token of every clip, through the
            same head, the class token first (text has none: its tokens stay in order).
        normalise: ``raw`` as the head gives it, before any normalisation; ``unit`` for length 1; ``upstream`` for
            length 1 times the modality's published scale, averaged over clips, which is what ImageBind returns.
        dtype: Precision of the parameters; features are float32 always.
        video_clips: Clips of two seconds, two frames each, spread over a video.
        video_crops: Squares cut from each clip: 3 along its longer side as upstream does, or 1 in the middle.
        audio_clips: Clips of two seconds spread over a sound.
        camera: How depth becomes disparity.
        vocabulary: CLIP's BPE vocabulary: ``bpe_simple_vocab_16e6.txt.gz`` or a folder that transformers'
            ``CLIPTokenizer`` reads. Only text needs it.
        spaces: Names of feature spaces by modality, in place of the defaults.
    """

    size: Literal["huge"] | ImageBindSizes = "huge"
    weights: str | None = None
    download: bool = False
    modalities: tuple[Modality, ...] = Field(default=MODALITIES, min_length=1)
    features: Literal["pooled", "tokens"] = "pooled"
    normalise: Literal["raw", "unit", "upstream"] = "raw"
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    video_clips: PositiveInt = 5
    video_crops: Literal[1, 3] = 3
    audio_clips: PositiveInt = 3
    camera: DepthCamera = DepthCamera()
    vocabulary: Path | None = None
    spaces: dict[Modality, str] = Field(default_factory=dict)

    @property
    def sizes(self) -> ImageBindSizes:
        """The sizes, whatever way they were given."""
        return HUGE if self.size == "huge" else self.size

    @property
    def towers(self) -> tuple[Tower, ...]:
        """Towers that the modalities need, in the published order."""
        return tuple(dict.fromkeys(tower for name, tower in TOWERS.items() if name in self.modalities))

    @model_validator(mode="after")
    def _names_agree(self) -> ImageBindConfig:
        unused = [m for m in self.spaces if m not in self.modalities]
        if unused:
            raise WrongOptionsError({f"spaces.{m}": f"{m!r} is not among 'modalities'" for m in unused})
        return self
