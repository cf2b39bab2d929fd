"""Every part of a model is swapped by config overrides alone: it checks, trains, is saved and answers."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from anyloom import AnyToAnyModel, Conversation, Message
from anyloom.building import build
from anyloom.checking.preflight import look_over
from anyloom.cli.main import main
from imagebind_golden import OWN_SIZES
from parts import llm_options
from projects import write_config

pytestmark = pytest.mark.filterwarnings("ignore:sounds are heard for")  # the starter pack has longer ones

CONV = {"size": 16, "grid": 8, "layout_dim": 6, "meaning_dim": 2, "widths": [8, 8]}
VAE = {"block_out_channels": [8, 8], "layers_per_block": 1, "norm_num_groups": 4}
UNET = {"block_out_channels": [8, 16], "layers_per_block": 1, "attention_head_dim": 2, "norm_num_groups": 4}
BRUSH: dict[str, Any] = {"picture_size": 16, "autoencoder": VAE, "unet": UNET, "denoising_steps": 2}
VOICE: dict[str, Any] = {
    "mel": {"frames": 16, "num_mels": 16, "fft_size": 256, "hop": 64},
    "autoencoder": VAE,
    "unet": UNET,
    "lm_tokens": 1,
    "lm_dim": 8,
    "griffin_lim_steps": 2,
    "denoising_steps": 2,
}
CLIP: dict[str, Any] = {
    "hidden_size": 16,
    "intermediate_size": 16,
    "projection_dim": 10,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "image_size": 16,
    "patch_size": 8,
}
CLAP: dict[str, Any] = {
    "window_size": 4,
    "num_mel_bins": 16,
    "spec_size": 64,
    "depths": [1, 1],
    "num_attention_heads": [2, 2],
    "patch_embeds_hidden_size": 8,
    "projection_dim": 6,
}
# Another model_type is another architecture: none of the old one's sizes stays.
SIZES: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
}
GPT2: dict[str, Any] = {"model_type": "gpt2", "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 256}
HEARD = {"sample_rate": 16000, "seconds": 1, "hop": 80, "high": 7000}


def base(folder: Path, tokenizer: Path) -> dict[str, Any]:
    """A model of the project's own small encoders, on real pictures and sounds."""
    space = {"dim": 8, "scale": "standard"}
    brush_unet = {**UNET, "cross_attention_dim": 8}
    return {
        "model": {
            "llm": llm_options(tokenizer),
            "encoders": {
                "eye": {"name": "conv", "modality": "image", **CONV},
                "ear": {"name": "conv", "modality": "audio", **CONV},
            },
            "decoders": {
                "brush": {"name": "sd-unclip", "space": "conv-image", **space, **BRUSH, "unet": brush_unet},
                "voice": {"name": "audioldm2", "space": "conv-audio", **space, **VOICE},
            },
            "modalities": {
                "image": {"encoder": "eye", "decoder": "brush"},
                "audio": {"encoder": "ear", "decoder": "voice"},
            },
        },
        "module": {"name": "any-to-any", "optimizer": {"lr": 0.01}},
        "data": {
            "batch_size": 6,
            "datasets": {"starter": {"name": "starter", "tasks": {"edit": 1, "sound-effect": 1}, "num_samples": 12}},
        },
        "trainer": {
            "accelerator": "cpu",
            "max_steps": 2,
            "log_every_n_steps": 1,
            "limit_val_batches": 0,
            "enable_checkpointing": False,
            "enable_progress_bar": False,
            "enable_model_summary": False,
            "logger": {"class_path": "lightning.pytorch.loggers.CSVLogger", "init_args": {"save_dir": str(folder)}},
        },
        "result": str(folder / "result"),
    }


class Swap(NamedTuple):
    """Overrides, and the component names and feature spaces that have to come out."""

    overrides: dict[str, Any]
    names: dict[str, str]
    image: str = "conv-image (1 x 8, standard)"
    audio: str = "conv-audio (1 x 8, standard)"


LLM = "model.llm"
EYE, EAR = "model.encoders.eye", "model.encoders.ear"
BRUSH_KEY, VOICE_KEY = "model.decoders.brush", "model.decoders.voice"

CLIP_EYE = {EYE: {"name": "clip", "architecture": CLIP}}
CLAP_EAR = {
    EAR: {"name": "clap", "architecture": CLAP, "preparation": HEARD},
    VOICE_KEY: {"space": "clap", "dim": 6, "scale": "raw"},
}
SWAPS = {
    "qwen3": Swap(
        {f"{LLM}.architecture": {**SIZES, "model_type": "qwen3", "head_dim": 8}},
        {LLM: "llama"},
    ),
    "gpt2": Swap(
        {f"{LLM}.architecture": {**GPT2, "bos_token_id": 1, "eos_token_id": 2}},
        {LLM: "llama"},
    ),
    "clip": Swap(
        {**CLIP_EYE, BRUSH_KEY: {"space": "clip", "dim": 10, "scale": "raw"}},
        {EYE: "clip", BRUSH_KEY: "sd-unclip"},
        image="clip (1 x 10, raw)",
    ),
    "clap": Swap(CLAP_EAR, {EAR: "clap", VOICE_KEY: "audioldm2"}, audio="clap (1 x 6, raw)"),
    "sd": Swap(
        {BRUSH_KEY: {"name": "sd", "space": "conv-image", "dim": 8, "scale": "standard", **BRUSH}},
        {EYE: "conv", BRUSH_KEY: "sd"},
    ),
    "clip tokens and sd, clap": Swap(
        {
            **CLAP_EAR,
            EYE: {"name": "clip", "architecture": CLIP, "features": "tokens"},
            BRUSH_KEY: {"name": "sd", "space": "clip-tokens", "dim": 10, "tokens": 5, **BRUSH},
        },
        {EYE: "clip", EAR: "clap", BRUSH_KEY: "sd"},
        image="clip-tokens (5 x 10, raw)",
        audio="clap (1 x 6, raw)",
    ),
    "imagebind and clap": Swap(
        {
            **CLAP_EAR,
            EYE: {"name": "imagebind", "size": OWN_SIZES, "modalities": ["image"]},
            BRUSH_KEY: {"space": "imagebind-own", "dim": 8, "scale": "raw"},
        },
        {EYE: "imagebind", EAR: "clap"},
        image="imagebind-own (1 x 8, raw)",
        audio="clap (1 x 6, raw)",
    ),
}


def arguments(overrides: dict[str, Any]) -> list[str]:
    """Overrides as words of a command line."""
    return [f"{key}={json.dumps(value)}" for key, value in overrides.items()]


@pytest.mark.parametrize("swap", SWAPS.values(), ids=SWAPS.keys())
def test_a_swap_checks_trains_and_answers(
    swap: Swap, tmp_path: Path, tokenizer_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config, words = write_config(tmp_path, base(tmp_path, tokenizer_folder)), arguments(swap.overrides)

    assert main(["check", config, *words, "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)["models"]
    components = {part["key"]: part["component"] for part in found["parts"]}
    assert {key: components[key] for key in swap.names} == swap.names

    assert main(["fit", config, *words]) == 0
    (file,) = tmp_path.glob("lightning_logs/*/metrics.csv")
    steps = list(csv.DictReader(file.read_text().splitlines()))
    assert len(steps) == 2
    terms = {"train/text", *(f"train/{t}/{m}" for t in ("feature", "diffusion") for m in ("image", "audio"))}
    assert terms <= {name for step in steps for name, value in step.items() if value}
    assert all(math.isfinite(float(value)) for step in steps for value in step.values() if value)

    model = AnyToAnyModel.from_pretrained(tmp_path / "result", trust=True)
    assert {name: str(spaces.predicted) for name, spaces in model.spaces.items()} == {
        "image": swap.image,
        "audio": swap.audio,
    }
    samples = build("dataset", "starter", {"num_queries": 1}).build("test")
    given = {m.modality: m for s in samples for m in s.conversation.media}
    asked = Conversation([Message("user", ["turn it upside down ", given["image"], given["audio"]])])
    answer = model.generate(asked, media={"image": "force", "audio": "force"}, max_new_tokens=4)
    assert isinstance(answer, Message)
    made = {m.modality: m for m in answer.media}
    assert made["image"].tensor().shape == (3, 16, 16)
    assert made["audio"].tensor().shape == (1, 16 * 64)
    for name, media in made.items():
        space = model.spaces[name].predicted
        assert media.features is not None
        assert media.features.shape == (space.tokens, space.dim)
        assert bool(media.tensor().isfinite().all())


@pytest.mark.parametrize(("name", "kind"), [("qwen3", "Qwen3ForCausalLM"), ("gpt2", "GPT2LMHeadModel")])
def test_the_language_model_is_another_class(name: str, kind: str, tokenizer_folder: Path, tmp_path: Path) -> None:
    sections = base(tmp_path, tokenizer_folder)
    model = AnyToAnyModel.from_config(sections, arguments(SWAPS[name].overrides))
    assert type(model.llm.lm).__name__ == kind
    assert model.llm.hidden_size == 32


def test_a_swap_that_leaves_the_decoder_behind_is_refused(
    tmp_path: Path, tokenizer_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = write_config(tmp_path, base(tmp_path, tokenizer_folder))
    assert main(["check", config, *arguments(CLIP_EYE)]) == 2
    (line,) = [x for x in capsys.readouterr().out.splitlines() if x.startswith("problem: ")]
    assert line.startswith("problem: model.modalities.image.decoder: decoder 'brush' (sd-unclip) asks for conv-image")
    assert "encoder 'eye' (clip) gives clip (1 x 10, raw)" in line


@pytest.mark.parametrize(("part", "option"), [("compare", "gated_units=3"), ("change", "pair=true")])
def test_the_two_halves_of_an_edit_cannot_be_swapped(part: str, option: str) -> None:
    key = f"model.modalities.image.representation.{part}.{option}"
    problems = [str(p) for p in look_over(["mini"], [key]).problems]
    assert any(p.startswith(f"{key.partition('=')[0]}: there is no option") for p in problems), problems
