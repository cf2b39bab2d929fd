"""mini-plain with clips: what it begins as, and what its recipe trains."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from anyloom import AnyToAnyModel
from anyloom.cli.main import main
from anyloom.config.packages import shipped_weights
from anyloom.diffusion.guidance import Shown
from anyloom.storage.tensors import read_tensors
from anyloom_mini.clip_decoder import MiniClip, spread
from anyloom_mini.picture_decoder import MiniPicture

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "scripts"))
from begin_mini_clips import begun, deepened
from measure_clips import moment_of

from anyloom_starter.media import click_media, flash_media
from anyloom_starter.pack import load_pack

SCRIPT = Path(__file__).resolve().parents[3] / "scripts" / "train_mini_clips_gpu.sh"


@pytest.fixture(scope="module")
def model() -> AnyToAnyModel:
    return begun().eval()


def test_frames_lie_on_straight_lines_between_stretches() -> None:
    middles = torch.tensor([0.5, 2.5, 4.5, 6.5])  # of stretches of two frames
    torch.testing.assert_close(spread(4, 8) @ middles, torch.arange(8.0))
    torch.testing.assert_close(spread(4, 8).sum(1), torch.ones(8))
    torch.testing.assert_close(spread(1, 3), torch.ones(3, 1))


def test_a_clip_begins_as_pictures(model: AnyToAnyModel) -> None:
    """Before any training each frame of a still clip is denoised as the decoder of pictures would."""
    film, brush = model.parts.decoders["film"], model.parts.decoders["brush"]
    assert isinstance(film, MiniClip)
    assert isinstance(brush, MiniPicture)
    torch.manual_seed(0)
    feature, noisy, times = torch.randn(1, 1, 160), torch.randn(1, 24, 8, 8), torch.tensor([500])
    labels = torch.cat([feature[:, 0], torch.cat([torch.ones(1, 80), torch.zeros(1, 80)], 1)], 1)  # level 0
    drawn = brush.sketch.draw(feature)
    with torch.no_grad():
        one = brush.predict(noisy, times, Shown((labels, drawn), torch.zeros(1, 24, 8, 8)))
        shown = Shown((labels[:, None].expand(-1, 8, -1), drawn[:, None].expand(-1, 8, -1)), torch.zeros(1, 0, 8, 8, 8))
        clip = film.predict(noisy[:, :, None].expand(-1, -1, 8, -1, -1), times, shown)
    torch.testing.assert_close(clip, one[:, :, None].expand_as(clip), atol=1e-4, rtol=1e-3)
    first, second = (dict(d.named_parameters())["unet.conv_out.weight"] for d in (film, brush))
    assert torch.equal(first, second)


def test_frames_see_each_other_once_the_layers_over_time_have_learned(model: AnyToAnyModel) -> None:
    film = model.parts.decoders["film"]
    assert isinstance(film, MiniClip)
    layers = [m.over_time for m in film.unet.modules() if hasattr(m, "over_time")]
    assert len(layers) == 8
    noisy = torch.randn(1, 24, 8, 8, 8)
    other = noisy.clone()
    other[:, :, 7] += 1.0
    shown = Shown(tuple(part[None] for part in film.null_condition()), torch.zeros(1, 0, 8, 8, 8))
    with torch.no_grad():
        before = [film.predict(x, torch.tensor([500]), shown) for x in (noisy, other)]
        torch.testing.assert_close(before[0][:, :, :7], before[1][:, :, :7])
        old = layers[0].conv4[-1].weight.clone()
        layers[0].conv4[-1].weight.normal_(std=0.05)
        after = [film.predict(x, torch.tensor([500]), shown) for x in (noisy, other)]
        layers[0].conv4[-1].weight.copy_(old)
    assert not torch.allclose(after[0][:, :, 4:7], after[1][:, :, 4:7], atol=1e-4)


def test_what_projects_pictures_projects_exposures_of_clips(model: AnyToAnyModel) -> None:
    clip, picture = model.parts.representations["video"], model.parts.representations["image"]
    for name, tensor in picture.state_dict().items():
        assert torch.equal(clip.state_dict()[name], tensor), name


def test_it_begins_as_mini_plain(model: AnyToAnyModel) -> None:
    plain = shipped_weights("mini-plain")
    assert plain is not None
    given, own = read_tensors(plain / "model.safetensors"), model.parts.state_dict()
    moved = {f".model.layers.{old}.": f".model.layers.{new}." for old, new in {2: 3, 3: 4}.items()}
    for name, tensor in given.items():
        here = next((name.replace(old, new) for old, new in moved.items() if old in name), name)
        if name not in ("llm.new_input_rows", "llm.new_output_rows"):
            assert torch.equal(own[here], tensor.float()), name
    assert len(own["llm.new_input_rows"]) == len(given["llm.new_input_rows"]) + 2  # the tags of clips


def test_its_new_layers_begin_as_the_identity() -> None:
    plain, deep = AnyToAnyModel.from_pretrained(shipped_weights("mini-plain") or ""), deepened(6)
    assert len(deep.parts.llm.lm.model.layers) == 6
    ids = torch.arange(40)[None]
    with torch.no_grad():
        shallow, own = (m.parts.llm.lm(ids).logits for m in (plain, deep))
    torch.testing.assert_close(own, shallow)


@pytest.mark.parametrize("moment", [0, 3, 7])
def test_moments_are_measured_in_pixels_and_samples(moment: int) -> None:
    picture = load_pack().pictures[0]
    assert moment_of(flash_media(picture, moment)) == moment
    assert moment_of(click_media(moment)) == moment


@pytest.mark.slow  # two stages of one step each, from the models that ship
def test_the_script_for_a_gpu_trains_both_stages_and_joins_them(tmp_path: Path, model: AnyToAnyModel) -> None:
    small = {"STEPS": "1", "SAMPLES": "40", "BATCH": "8", "WORKERS": "0", "LR": "1e-3", "PYTHON": sys.executable}
    model.save_pretrained(tmp_path / "begin", include_frozen=False)
    done = subprocess.run(
        [str(SCRIPT), str(tmp_path)],
        env={**os.environ, **small, "CUDA_VISIBLE_DEVICES": ""},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    own, begun_ = (m.parts.state_dict() for m in (AnyToAnyModel.from_pretrained(tmp_path / "model", trust=True), model))
    moved = {n.split(".")[0] for n in own if not torch.equal(own[n], begun_[n])}
    assert moved == {"llm", "representations", "decoders"}
    assert all(
        n.startswith("decoders.film.") for n in own if n.startswith("decoders.") and not torch.equal(own[n], begun_[n])
    )


@pytest.mark.parametrize("stage", ["film", "model"])
def test_a_stage_without_its_beginning_says_what_makes_it(
    stage: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    if stage == "model":
        (run / "film").mkdir(parents=True)
    assert main(["fit", "mini-clips", "--stage", stage, f"variables.run={run}"]) == 2
    said = capsys.readouterr().err
    assert f"{run / 'begin'}: this is not there; module.start_from" in said
    assert f"To fix: python scripts/begin_mini_clips.py {run}" in said
