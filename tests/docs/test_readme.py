"""What the README shows works."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import pytest
import yaml
from PIL import Image

from anyloom.config.compose import compose
from anyloom.network.config import ModelConfig
from anyloom.options import validate

README_FILE = Path(__file__).parents[2] / "README.md"
README = README_FILE.read_text(encoding="utf-8")


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
    assert len(blocks) == 3
    for block in blocks:
        if "import openai" in block:  # needs a server: see tests/plugins/apps/test_serve_clients.py
            continue
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


def _first(pattern: str, page: str) -> tuple[float, ...]:
    found = re.search(pattern, (README_FILE.parent / "docs" / page).read_text(encoding="utf-8"))
    assert found is not None, pattern
    return tuple(map(float, found.groups()))


def test_the_headline_is_pooled_over_draws_and_says_what_is_decoded() -> None:
    decision = "decisions/0025-the-papers-projectors-learn-too.md"
    row = r"\| one example \| [^|]* \| ([\d.]+) \((\d+) - (\d+)\) \| (\d+) \|"
    share, low, high, count = _first(row, decision)
    (control,) = _first(r"\| no example \(the control\) \| [^|]* \| ([\d.]+) ", decision)
    text = " ".join(README.split())
    assert f"for {share:.0f} % of edits after a single example (five draws of the test set, pooled: " in text
    assert f"N = {count:.0f}, 95 % interval {low:.0f} to {high:.0f} %; single draws differ by as much)" in text
    assert f"for {control:.0f} % without the example" in text
    (decoded,) = _first(r"\| in context, 1 example \| ([\d.]+) [(±]", "mini.md")
    (style,) = _first(r"\| in context, 1 example .*\n\| · style \| ([\d.]+) [(±]", "mini.md")
    # Wilson (1927): the shares p that are 1.96 of their own standard errors from the measured one.
    z, n, p = 1.96, 300, decoded / 100
    middle = (p + z * z / 2 / n) / (1 + z * z / n)
    half = z * math.sqrt(p * (1 - p) / n + (z / 2 / n) ** 2) / (1 + z * z / n)
    interval = f"({100 * (middle - half):.0f} to {100 * (middle + half):.0f} %)"
    assert f"for {decoded:.0f} % of edits {interval}, of edits of style for {style:.0f} %." in text
