"""Options of both encoders; sizes have transformers' names, and its defaults."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from anyloom.interfaces import ComponentConfig, Encoder
from anyloom.options import WrongOptionsError
from anyloom.signal.mel import MelScale

__all__ = ["CLAPConfig", "CLAPSizes", "CLIPConfig", "CLIPSizes", "PictureNumbers", "SoundNumbers", "TowerConfig"]


class TowerConfig(Encoder.Config):
    """Options that both encoders have, besides ``freeze``. ``weights``, ``architecture`` or both must be given.

    Args:
        weights: Folder that transformers saved, of both towers or of this one alone, or a hub repository of that kind.
            Sizes come from its ``config.json``, tensors from its safetensors files.
        download: Allow ``weights`` to be fetched from the hub.
        features: ``pooled`` for one feature per media item, ``tokens`` for every token of the last layer, through the
            same projection.
        normalise: ``raw`` as the projection gives them; ``unit`` for length 1.
        dtype: Precision of the parameters; features are float32 always.
        space: Name of the feature space; by default that of the component, with ``-tokens`` for tokens. Name the
            spaces of differently trained weights apart.
    """

    weights: str | None = None
    download: bool = False
    features: Literal["pooled", "tokens"] = "pooled"
    normalise: Literal["raw", "unit"] = "raw"
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    space: str | None = None
    architecture: ComponentConfig | None = None
    preparation: ComponentConfig | None = None

    @model_validator(mode="after")
    def _some_source(self) -> Any:
        if self.weights is None and self.architecture is None:
            raise ValueError("give 'weights' or 'architecture'")
        return self


class CLIPSizes(ComponentConfig):
    """Sizes of ``CLIPVisionConfig``; the defaults are ViT-B/32."""

    hidden_size: PositiveInt = 768
    intermediate_size: PositiveInt = 3072
    projection_dim: PositiveInt = 512
    num_hidden_layers: PositiveInt = 12
    num_attention_heads: PositiveInt = 12
    image_size: PositiveInt = 224
    patch_size: PositiveInt = 32
    hidden_act: Literal["quick_gelu", "gelu"] = "quick_gelu"
    layer_norm_eps: PositiveFloat = 1e-5

    @property
    def tokens(self) -> int:
        """The class token and one per patch."""
        return int(self.image_size // self.patch_size) ** 2 + 1

    @model_validator(mode="after")
    def _divides(self) -> CLIPSizes:
        if self.hidden_size % self.num_attention_heads:
            raise WrongOptionsError({"hidden_size": f"not a multiple of {self.num_attention_heads} heads"})
        return self


class PictureNumbers(ComponentConfig):
    """How a picture is prepared; the defaults are CLIP's.

    Args:
        short_side: Pixels of the shorter side before the middle square is cut out; by default those of the square.
        mean: Subtracted per channel from values in 0..1.
        std: Divides what is left.
    """

    short_side: PositiveInt | None = None
    mean: tuple[float, float, float] = (0.48145466, 0.4578275, 0.40821073)
    std: tuple[float, float, float] = (0.26862954, 0.26130258, 0.27577711)


class CLIPConfig(TowerConfig):
    """Options of the picture encoder.

    Args:
        architecture: Sizes of a model to start from random weights; beside ``weights``, what those are, so that
            ``anyloom check`` does without them.
        preparation: How pictures are prepared; by default as the folder's ``preprocessor_config.json`` says.
    """

    architecture: CLIPSizes | None = None
    preparation: PictureNumbers | None = None


class CLAPSizes(ComponentConfig):
    """Sizes of ``ClapAudioConfig``; the defaults are those of ``laion/clap-htsat-unfused``."""

    window_size: PositiveInt = 8
    num_mel_bins: PositiveInt = 64
    spec_size: PositiveInt = 256
    patch_size: PositiveInt = 4
    patch_stride: tuple[PositiveInt, PositiveInt] = (4, 4)
    patch_embeds_hidden_size: PositiveInt = 96
    depths: tuple[PositiveInt, ...] = Field((2, 2, 6, 2), min_length=1)
    num_attention_heads: tuple[PositiveInt, ...] = Field((4, 8, 16, 32), min_length=1)
    projection_dim: PositiveInt = 512
    hidden_act: Literal["gelu", "relu"] = "gelu"
    projection_hidden_act: Literal["relu", "gelu"] = "relu"
    mlp_ratio: PositiveFloat = 4.0
    layer_norm_eps: PositiveFloat = 1e-5
    qkv_bias: bool = True
    enable_patch_layer_norm: bool = True
    enable_fusion: bool = False
    fusion_type: str | None = None
    aff_block_r: PositiveInt = 4

    @property
    def hidden_size(self) -> int:
        """Width of the last level, twice that of the one before."""
        return int(self.patch_embeds_hidden_size) << (len(self.depths) - 1)

    @property
    def tokens(self) -> int:
        """Tokens of the last level; each level but the first halves rows and columns."""
        rows, columns = (self.spec_size // s >> (len(self.depths) - 1) for s in self.patch_stride)
        return int(rows * columns)

    @property
    def frames(self) -> int:
        """Frames that fit the network, which folds them into a square."""
        return int(self.spec_size * (self.spec_size // self.num_mel_bins))

    @model_validator(mode="after")
    def _levels_agree(self) -> CLAPSizes:
        if len(self.depths) != len(self.num_attention_heads):
            raise WrongOptionsError(
                {"num_attention_heads": f"{len(self.num_attention_heads)} entries for {len(self.depths)} depths"}
            )
        if self.spec_size % self.num_mel_bins:
            raise WrongOptionsError({"spec_size": f"not a multiple of {self.num_mel_bins} mel bins"})
        return self


class SoundNumbers(ComponentConfig):
    """How a sound is prepared; the defaults are those of ``laion/clap-htsat-unfused``.

    Args:
        sample_rate: Samples per second; sounds of other rates are resampled.
        seconds: What is heard, from the start; shorter sounds are repeated as often as they fit, then padded.
        fft_size: Samples per transform and window.
        hop: Samples between frames.
        low: Lower edge of the mel bands, in Hz; the published folders say 50, where the class would take 0.
        high: Upper edge, in Hz.
        mel_scale: ``slaney``, or ``htk`` for models trained with fusion.
    """

    sample_rate: PositiveInt = 48000
    seconds: PositiveFloat = 10
    fft_size: PositiveInt = 1024
    hop: PositiveInt = 480
    low: float = Field(default=50.0, ge=0)
    high: PositiveFloat = 14000.0
    mel_scale: MelScale = "slaney"

    @property
    def samples(self) -> int:
        """Samples that are heard."""
        return round(self.seconds * self.sample_rate)


class CLAPConfig(TowerConfig):
    """Options of the sound encoder.

    Args:
        architecture: Sizes of a model to start from random weights; beside ``weights``, what those are, so that
            ``anyloom check`` does without them.
        preparation: How sounds are prepared; by default as the folder's ``preprocessor_config.json`` says.
    """

    architecture: CLAPSizes | None = None
    preparation: SoundNumbers | None = None
