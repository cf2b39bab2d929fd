"""What the README shows works."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml
from PIL import Image

from anyloom.config.compose import compose
from anyloom.network.config import ModelConfig
from anyloom.options import validate

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")


def test_the_example_config_composes_and_changes_only_what_it_says() -> None:
    block = next(b for b in re.findall(r"```yaml\n(.*?)```", README, re.DOTALL) if "defaults: mini" in b)
    own = yaml.safe_load(block)
    base = compose(["mini"])
    changed = compose([base | {"stages": base["stages"]}, {k: v for k, v in own.items() if k != "defaults"}])
    model = validate(ModelConfig, changed["model"], where="model")
    assert model.llm["architecture"]["hidden_size"] == 96
    assert model.llm["architecture"]["num_hidden_layers"] == base["model"]["llm"]["architecture"]["num_hidden_layers"]
    assert model.modalities["image"].feature_weight == 2.0
    assert model.modalities["image"].encoder == "eye"


@pytest.mark.slow
def test_the_python_examples_run_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len(blocks) == 2
    for block in blocks:
        code = compile(block, "README.md", "exec", dont_inherit=True)  # this file's __future__ is not the README's
        found: dict[str, object] = {"__name__": "example"}
        exec(code, found)
    (made,) = (tmp_path / "answer").glob("*.png")
    with Image.open(made) as picture:
        low, high = picture.convert("L").getextrema()
    assert high - low > 100, "a drawing on white is no even field"
    message = json.loads((tmp_path / "answer" / "message.json").read_text(encoding="utf-8"))
    assert made.name in json.dumps(message)
    assert [spec.name for spec in found["anyloom_components"]()] == ["tiny"]  # type: ignore[operator]


def test_every_command_of_the_table_exists() -> None:
    from anyloom.discovery import get_registry

    names = set(re.findall(r"^\| `anyloom ([\w-]+)", README, re.MULTILINE))
    assert {"demo", "plugins", "check", "fit", "generate", "validate"} <= names
    assert names <= set(get_registry().commands)


def test_the_table_of_components_is_complete() -> None:
    from anyloom.discovery import get_registry

    kinds = ("encoder", "representation", "llm", "decoder", "coupler")
    shown = set(re.findall(rf"^\| `([\w-]+)` \| ({'|'.join(kinds)}) \|", README, re.MULTILINE))
    own = [s for kind in kinds for s in get_registry().components(kind)]
    assert shown == {(s.name, s.kind) for s in own if s.package == "anyloom"}
