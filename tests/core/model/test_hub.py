"""Models pushed to a hub and loaded from it: huggingface_hub's client against a local server of the hub's routes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from anyloom import AnyToAnyModel
from anyloom.errors import CheckpointError, ConfigError
from anyloom.network.config import ModelConfig
from anyloom.options import validate
from local_hub import COMMIT, environment, running_hub
from parts import model_options

PUSH_AND_LOAD = """
import argparse, sys, torch
from anyloom import AnyToAnyModel
from anyloom.cli.arguments import split_sources
from anyloom.cli.model_argument import load_named_model
model = AnyToAnyModel.from_pretrained(sys.argv[1], trust=True)
print(model.push_to_hub("owner/model"))
loaded = AnyToAnyModel.from_pretrained("owner/model", trust=True, download=True)
kept = AnyToAnyModel.from_pretrained("owner/model", trust=True)
tensors = model.state_dict()
words = argparse.Namespace(sources=["owner/model"], trust=True)
named = load_named_model(split_sources(words))
assert named.name == "owner/model" and (named.folder / "config.json").is_file()
for other in (loaded, kept, named.model):
    own = other.state_dict()
    assert own.keys() == tensors.keys() and all(torch.equal(own[k], tensors[k]) for k in own)
try:
    AnyToAnyModel.from_pretrained("owner/model", download=True)
except Exception as error:
    print(type(error).__name__, error)
try:
    AnyToAnyModel.from_pretrained("owner/other", download=True)
except Exception as error:
    print(type(error).__name__, error)
"""


def small(tokenizer_folder: Path) -> AnyToAnyModel:
    return AnyToAnyModel(validate(ModelConfig, model_options(tokenizer_folder, ("image",)), where="model"))


@pytest.mark.slow
def test_what_is_pushed_is_what_is_loaded_again(tokenizer_folder: Path, tmp_path: Path) -> None:
    small(tokenizer_folder).save_pretrained(tmp_path / "model")
    with running_hub() as hub:
        env = environment(hub, "good", tmp_path / "cache")
        words = [sys.executable, "-c", PUSH_AND_LOAD, str(tmp_path / "model")]
        done = subprocess.run(words, env=env, capture_output=True, text=True, timeout=600, check=False)
        assert done.returncode == 0, done.stderr
        commit, untrusted, missing = done.stdout.splitlines()
        assert commit == f"{hub.url}/owner/model/commit/{COMMIT}"
        assert untrusted.startswith("CheckpointError")
        assert "names code to import" in untrusted
        assert missing.startswith("CheckpointError owner/other: the repository cannot be fetched")
        assert json.loads(hub.asked[0][2])["visibility"] == "private"
        assert {token for _, token, _ in hub.asked} == {"Bearer good"}
        on_disk = {str(f.relative_to(tmp_path / "model")) for f in (tmp_path / "model").rglob("*") if f.is_file()}
        assert set(hub.files) == on_disk | {"README.md"}
        assert sorted(hub.fetched) == sorted(hub.files), "each file is fetched once"
        card = hub.files["README.md"].decode()
        assert 'from_pretrained("owner/model", download=True)' in card
        assert "| llm | llama | Apache-2.0" in card


def test_what_names_no_repository_is_refused_before_anything_is_written(tokenizer_folder: Path) -> None:
    for name in ("model", "a/b/c", "", "../x", "owner/na me"):
        with pytest.raises(ConfigError, match="names no repository"):
            small(tokenizer_folder).push_to_hub(name)


def test_a_repository_that_was_not_fetched_is_not_asked_for() -> None:
    with pytest.raises(CheckpointError, match=r"nobody/nothing-at-all: .*download=True"):
        AnyToAnyModel.from_pretrained("nobody/nothing-at-all")
