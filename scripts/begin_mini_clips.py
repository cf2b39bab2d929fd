"""Makes the model that the stages of the recipe mini-clips begin with, from the models that ship.

    python scripts/begin_mini_clips.py runs/mini-clips

It is mini-plain with clips beside pictures and sounds. An exposure of a clip is a picture, so the projectors of clips
begin as those of pictures; so does the decoder of clips, whose layers over time begin as the identity.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import Tensor, nn

from anyloom import AnyToAnyModel
from anyloom.config.packages import shipped_weights
from anyloom.model.saving import start_from


@torch.no_grad()
def begun() -> AnyToAnyModel:
    """The model of the recipe with the weights of mini-plain, where clips begin as pictures."""
    torch.manual_seed(0)  # of the tags of clips, and of the layers over time, of each of which the last is zero
    model = AnyToAnyModel.from_config("mini-clips", ["model.decoders.film.weights=null"])
    shipped = shipped_weights("mini-plain")
    assert shipped is not None
    start_from(model.parts, shipped)
    representations, decoders = model.parts.representations, model.parts.decoders
    for clip, picture in ((representations["video"], representations["image"]), (decoders["film"], decoders["brush"])):
        _take(clip, picture)
    return model


def _take(clip: nn.Module, picture: nn.Module) -> None:
    """Take over what a part for clips has in common with one for pictures.

    What belongs to one feature comes once for each of several; the decoder of clips reads no reference, whose channels
    are the last of the input.
    """
    given = picture.state_dict()
    for name, own in clip.state_dict().items():
        if name in given:
            tensor = given[name] if own.ndim < 2 or name == "null" else given[name][:, : own.shape[1]]
            own.copy_(_repeated(tensor, own))


def _repeated(given: Tensor, own: Tensor) -> Tensor:
    return given.repeat(len(own) // len(given), *[1] * (own.ndim - 1)) if own.ndim else given


def main() -> None:
    """Write the folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of the run, as in variables.run")
    run = parser.parse_args().run
    begun().save_pretrained(run / "begin", include_frozen=False)
    print(f"{run}: begin")


if __name__ == "__main__":
    main()
