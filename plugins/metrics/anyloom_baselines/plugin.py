"""The plugin's records; imports nothing heavy."""

from __future__ import annotations

from anyloom.discovery import ComponentSpec, hookimpl

_SD = "Apache-2.0 (published weights: CreativeML Open RAIL-M)"
_SOUND = "Apache-2.0 (published weights: CC-BY-NC-SA-4.0)"


def _spec(name: str, target: str, summary: str, modality: str = "", licence: str = "Apache-2.0") -> ComponentSpec:
    module, _, cls = target.partition(":")
    return ComponentSpec(
        kind="baseline",
        name=name,
        target=f"anyloom_baselines.{module}:{cls}",
        tiny=f"anyloom_baselines.tiny:{name.replace('-', '_')}",
        modalities=(modality,) if modality else (),
        requires=("diffusers",) if licence != "Apache-2.0" else (),
        licence=licence,
        summary=summary,
    )


@hookimpl
def anyloom_components() -> list[ComponentSpec]:
    """The baselines of the paper's Tables 4 and 5, and three that need no diffusion model."""
    return [
        _spec("copying", "plain:Copying", "answers with the medium that is to be edited"),
        _spec(
            "nearest-neighbour", "plain:NearestNeighbour", "the answer to the training question with the nearest medium"
        ),
        _spec(
            "vector-arithmetic",
            "arithmetic:VectorArithmetic",
            "the examples' mean change, added to the input's feature",
        ),
        _spec("instruct-pix2pix", "pictures:InstructPix2Pix", "InstructPix2Pix (arXiv 2211.09800)", "image", _SD),
        _spec("sdedit", "pictures:SDEdit", "SDEdit (arXiv 2108.01073) on Stable Diffusion", "image", _SD),
        _spec("ddim-inversion", "pictures:DDIMInversion", "DDIM inversion, then the new caption", "image", _SD),
        _spec("audio-sdedit", "sounds:AudioSDEdit", "SDEdit on AudioLDM2", "audio", _SOUND),
    ]
