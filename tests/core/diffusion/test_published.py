"""Folders in diffusers' layout that are broken, or of another model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from anyloom.diffusion.published import Networks, read_networks
from anyloom.errors import CheckpointError
from anyloom_sd_unclip.decoder import SDUnCLIPDecoder
from parts import image_decoder_options

FILE = "diffusion_pytorch_model.safetensors"


def decoder() -> SDUnCLIPDecoder:
    options = image_decoder_options()
    del options["name"]
    return SDUnCLIPDecoder.from_options(options)


def read(folder: Path) -> Networks:
    like = decoder()
    return read_networks(folder, like.unet, like.autoencoder.vae)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    written = decoder()
    written.unet.save_pretrained(tmp_path / "unet")
    written.autoencoder.vae.save_pretrained(tmp_path / "vae")
    return tmp_path


def changed(tensors: dict[str, torch.Tensor], **changes: torch.Tensor | None) -> dict[str, torch.Tensor]:
    named = {k.replace("__", "."): v for k, v in changes.items()}
    return {k: v for k, v in {**tensors, **named}.items() if v is not None}


def test_a_good_folder_loads(folder: Path) -> None:
    loaded = read(folder)
    stored = load_file(folder / "unet" / FILE)
    assert all(torch.equal(tensor, stored[key]) for key, tensor in loaded.unet.state_dict().items())


@pytest.mark.parametrize("part", ["unet", "vae"])
@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda t: changed(t, conv_out__bias=None, decoder__conv_out__bias=None), "1 keys missing: .*conv_out.bias"),
        (lambda t: changed(t, extra=torch.zeros(2)), "1 keys unexpected: extra"),
        (lambda t: {k: v[:1] if k.endswith("conv_out.bias") else v for k, v in t.items()}, "size mismatch"),
    ],
    ids=["missing", "extra", "shape"],
)
def test_other_tensors_are_refused_in_one_line(
    folder: Path, part: str, change: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]], says: str
) -> None:
    save_file(change(load_file(folder / part / FILE)), folder / part / FILE)
    with pytest.raises(CheckpointError, match=rf"{part}: .*{says}") as caught:
        read(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("part", ["unet", "vae"])
def test_truncated_and_absent_files_are_refused_in_one_line(folder: Path, part: str) -> None:
    file = folder / part / FILE
    file.write_bytes(file.read_bytes()[:-50])
    with pytest.raises(CheckpointError, match=rf"{part}: cannot read \w+ \(Unable to load weights") as caught:
        read(folder)
    assert "\n" not in str(caught.value)
    file.unlink()
    with pytest.raises(CheckpointError, match=rf"{part}: cannot read \w+ \(Error no file named"):
        read(folder)


def test_names_of_attention_layers_in_old_folders_are_understood(folder: Path) -> None:
    file = folder / "vae" / FILE
    old = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    tensors = load_file(file)
    for new, name in old.items():
        tensors = {k.replace(f".{new}.", f".{name}."): v for k, v in tensors.items()}
    assert any(".query." in k for k in tensors)
    save_file(tensors, file)
    read(folder)


def test_a_variant_is_read_where_nothing_else_is_there(folder: Path) -> None:
    for part in ("unet", "vae"):
        tensors = load_file(folder / part / FILE)
        save_file({k: v.half() for k, v in tensors.items()}, folder / part / FILE.replace(".safe", ".fp16.safe"))
        (folder / part / FILE).unlink()
    loaded = read(folder)
    stored = load_file(folder / "unet" / FILE.replace(".safe", ".fp16.safe"))
    assert loaded.unet.dtype == torch.float32
    assert all(torch.equal(tensor, stored[key].float()) for key, tensor in loaded.unet.state_dict().items())


def test_pickled_weights_name_the_command_that_converts_them(folder: Path) -> None:
    from anyloom.cli.to_safetensors import convert_folder

    file = folder / "vae" / FILE
    torch.save(load_file(file), file.with_suffix(".bin"))
    file.unlink()
    with pytest.raises(CheckpointError, match=r"vae: the weights are pickled \(diffusion_pytorch_model.bin\).*to-safe"):
        read(folder)
    convert_folder(folder)
    read(folder)
