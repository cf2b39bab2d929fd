"""``anyloom export --to hub --push``: huggingface_hub's own client against a local server of the hub's routes."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from anyloom import AnyToAnyModel
from anyloom.network.config import ModelConfig
from anyloom.options import validate
from local_hub import Hub, environment, running_hub
from parts import image_decoder_options, model_options


@pytest.fixture
def hub() -> Iterator[Hub]:
    with running_hub() as server:
        yield server


def export(folder: Path, hub: Hub, token: str, output: Path) -> subprocess.CompletedProcess[str]:
    words = ["export", str(folder), "--trust", "--to", "hub", "--output", str(output), "--push", "owner/model"]
    env = environment(hub, token, output.parent / "cache")
    command = [sys.executable, "-m", "anyloom.cli.main", *words]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=600, check=False)


@pytest.mark.slow
def test_a_model_is_pushed_with_its_card_and_a_refusal_is_one_line(
    hub: Hub, tokenizer_folder: Path, tmp_path: Path
) -> None:
    options = model_options(tokenizer_folder, decoders={"brush": image_decoder_options()})
    options["modalities"]["image"]["decoder"] = "brush"
    AnyToAnyModel(validate(ModelConfig, options, where="model")).save_pretrained(tmp_path / "model")
    done = export(tmp_path / "model", hub, "good", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == f"{hub.url}/owner/model/commit/{'a' * 40}"
    made, _, committed = hub.asked[0], hub.asked[1], hub.asked[-1]
    assert json.loads(made[2])["visibility"] == "private"
    assert {token for _, token, _ in hub.asked} == {"Bearer good"}
    lines = [json.loads(line) for line in committed[2].splitlines()]
    files = {x["value"]["path"]: base64.b64decode(x["value"]["content"]) for x in lines if x["key"] == "file"}
    on_disk = {str(f.relative_to(tmp_path / "out")) for f in (tmp_path / "out").rglob("*") if f.is_file()}
    assert set(files) == on_disk
    assert "CreativeML" in files["README.md"].decode(), "the card has the licence of the decoder's weights"
    assert files["model.safetensors"] == (tmp_path / "out" / "model.safetensors").read_bytes()
    refused = export(tmp_path / "model", hub, "bad", tmp_path / "again")
    assert refused.returncode == 2
    assert "the hub did not take it" in refused.stderr.splitlines()[-1]
    assert "Traceback" not in refused.stderr
