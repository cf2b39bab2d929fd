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


@hookimpl
def anyloom_components() -> list[ComponentSpec]:
    """Extractors, which are encoders."""
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
