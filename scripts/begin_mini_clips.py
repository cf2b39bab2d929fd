"""Makes the model that the stages of the recipe mini-clips begin with, from the models that ship.

    python scripts/begin_mini_clips.py runs/mini-clips

It is mini-plain with clips beside pictures and sounds. An exposure of a clip is a picture, so the projectors of clips
begin as those of pictures; so does the decoder of clips, whose layers over time begin as the identity. The language
model of the recipe has more layers than that of mini-plain: those that are new begin as the identity too.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import torch
from torch import Tensor, nn

from anyloom import AnyToAnyModel
from anyloom.config.packages import shipped_weights
from anyloom.model.saving import start_from

_LAYERS = "lm.model.layers."


@torch.no_grad()
def begun() -> AnyToAnyModel:
    """The model of the recipe with the weights of mini-plain, where clips begin as pictures."""
    torch.manual_seed(0)  # of the tags of clips, and of the layers over time, of each of which the last is zero
    model = AnyToAnyModel.from_config("mini-clips", ["model.decoders.film.weights=null"])
    with tempfile.TemporaryDirectory() as folder:
        deepened(len(model.parts.llm.lm.model.layers)).save_pretrained(folder)
        start_from(model.parts, Path(folder))
    representations, decoders = model.parts.representations, model.parts.decoders
    for clip, picture in ((representations["video"], representations["image"]), (decoders["film"], decoders["brush"])):
        _take(clip, picture)
    return model


@torch.no_grad()
def deepened(count: int) -> AnyToAnyModel:
    """mini-plain with so many layers; one that adds nothing stands after every second of its own."""
    shipped = shipped_weights("mini-plain")
    assert shipped is not None
    shallow = AnyToAnyModel.from_pretrained(shipped)
    deep = AnyToAnyModel.from_config("mini-plain", [f"model.llm.architecture.num_hidden_layers={count}"])
    layers, own = deep.parts.llm.lm.model.layers, len(shallow.parts.llm.lm.model.layers)
    kept = [index for index in range(count) if index % 3 != 2][:own]
    assert len(kept) == own, "fewer layers than mini-plain has"
    state = {name: value for name, value in shallow.parts.state_dict().items() if _LAYERS not in name}
    for old, new in enumerate(kept):
        layers[new].load_state_dict(shallow.parts.llm.lm.model.layers[old].state_dict())
    for index in set(range(count)) - set(kept):
        layers[index].self_attn.o_proj.weight.zero_()
        layers[index].mlp.down_proj.weight.zero_()
    missing, unknown = deep.parts.load_state_dict(state, strict=False)
    assert not unknown
    assert all(_LAYERS in name for name in missing)
    return deep


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
