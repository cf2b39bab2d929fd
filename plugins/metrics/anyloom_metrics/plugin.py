"""The metrics and extractors of this package. Light: the classes load when a config names them."""

from __future__ import annotations

from anyloom.discovery import ComponentSpec, hookimpl

_EXTRACTORS = (
    ("dino", "dino:DINO", "dino", "image", "Apache-2.0", "DINO ViT-S/16: class token, for subject fidelity"),
    ("clip-joint", "clip:JointCLIP", "clip", "image", "MIT", "CLIP with both towers, for CLIP-I, CLIP-T and CLIPScore"),
    ("clap-joint", "clap:JointCLAP", "clap", "audio", "Apache-2.0", "CLAP with both towers, for the CLAP score"),
    ("cnn14", "cnn14:CNN14", "cnn14", "audio", "CC-BY-4.0", "PANNs Cnn14 at 16 or 32 kHz, for FD, KL and IS of sounds"),
    ("vggish", "vggish:VGGish", "vggish", "audio", "Apache-2.0", "VGGish: a feature per 0.96 s, for FAD"),
    ("inception-fid", "inception:Inception", "inception", "image", "Apache-2.0", "Inception of FID, KID and IS"),
)

_METRICS = (
    ("frechet-distance", "frechet:FrechetDistance", "frechet", (), "FID, FD, FAD, FVD: distance of sets of features"),
    ("kernel-distance", "kernel:KernelDistanceMetric", "kernel", (), "KID: squared MMD of sets of features"),
    ("inception-score", "inception:InceptionScoreMetric", "inception_score", (), "IS: confident, varied answers"),
    (
        "paired-kl-divergence",
        "sounds:PairedKL",
        "paired_kl",
        ("audio",),
        "KL of the classes heard in answer and target",
    ),
    ("log-spectral-distance", "sounds:LogSpectralDistance", "spectral", ("audio",), "LSD as audioldm_eval measures it"),
    (
        "clip-directional-similarity",
        "directional:CLIPDirectional",
        "directional",
        ("image",),
        "edits as CLIP sees them",
    ),
    ("clipsim", "directional:CLIPDirectional", "clipsim", ("image",), "alias of clip-directional-similarity"),
    ("image-alignment", "alignment:ImageAlignment", "image_alignment", ("image",), "DINO, CLIP-I: subject fidelity"),
    ("text-image-alignment", "alignment:TextAlignment", "text_image", ("image",), "CLIP-T: prompt fidelity"),
    (
        "clip-frame-text",
        "alignment:FrameTextAlignment",
        "frame_text",
        ("video",),
        "CLIPSIM of clips",
    ),
    ("clap-score", "alignment:ClapScore", "clap_score", ("audio",), "cosine of sounds and prompts under CLAP"),
    (
        "clip-score",
        "clip_score:CLIPScore",
        "clip_score",
        ("image", "text"),
        "CLIPScore in both conventions, RefCLIPScore",
    ),
    ("psnr", "pictures:PSNR", "psnr", ("image",), "PSNR per picture"),
    ("ssim", "pictures:SSIM", "ssim", ("image",), "SSIM in the forms of torchmetrics and scikit-image"),
    ("lpips", "pictures:LPIPS", "lpips", ("image",), "perceptual distance of pictures"),
    ("text-media-retrieval", "retrieval:TextMediaRetrieval", "retrieval", (), "R@k between answers and texts"),
    ("vqa-accuracy", "words:VQAAccuracy", "vqa", ("text",), "answers against those of ten people"),
    (
        "choice-accuracy",
        "choices:ChoiceAccuracy",
        "choices",
        ("image", "text"),
        "which of several words is shown or said",
    ),
    ("word-error-rate", "words:WordErrorRate", "wer", ("text",), "WER of transcripts"),
    ("answer-structure", "words:AnswerStructure", "structure", (), "which media, how many, in which order"),
    (
        "audio-video-synchrony",
        "synchrony:AudioVideoSynchrony",
        "synchrony",
        ("video", "audio"),
        "offset of sound and clip",
    ),
    ("torchmetrics", "torchmetrics_adapter:TorchMetrics", "adapter", (), "any metric of torchmetrics"),
)


@hookimpl
def anyloom_components() -> list[ComponentSpec]:
    """Extractors, which are encoders, and metrics."""
    return [*_extractors(), *_metrics()]


def _extractors() -> list[ComponentSpec]:
    return [
        ComponentSpec(
            kind="encoder",
            name=name,
            target=f"anyloom_metrics.extractors.{target}",
            tiny=f"anyloom_metrics.tiny_extractors:{tiny}",
            modalities=(modality,),
            licence=licence,
            summary=summary,
        )
        for name, target, tiny, modality, licence, summary in _EXTRACTORS
    ]


def _metrics() -> list[ComponentSpec]:
    captions = ComponentSpec(
        kind="metric",
        name="captions",
        target="anyloom_metrics.metrics.captions:Captions",
        tiny="anyloom_metrics.tiny_metrics:captions",
        modalities=("text",),
        requires=("pycocoevalcap",),
        licence="Apache-2.0",
        summary="BLEU, ROUGE-L, CIDEr of COCO's evaluation",
    )
    others = [
        ComponentSpec(
            kind="metric",
            name=name,
            target=f"anyloom_metrics.metrics.{target}",
            tiny=f"anyloom_metrics.tiny_metrics:{tiny}",
            modalities=modalities,
            licence="Apache-2.0",
            summary=summary,
        )
        for name, target, tiny, modalities, summary in _METRICS
    ]
    return [*others, captions]
