"""Rows 29, 30, 35 to 38, 45 to 47: hostile files, plugins, configs and texts; two runs in one place."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from anyloom import AnyToAnyModel, Conversation, Message
from anyloom.cli.main import main
from anyloom.data.sources.index import open_index
from anyloom.errors import AnyloomError, CheckpointError
from anyloom.report.contents import (
    Attribution,
    Curve,
    Headline,
    Measure,
    MeasuredRow,
    Report,
    SampleGroup,
    SampleRow,
    StageRow,
)
from anyloom.report.page import render
from anyloom.storage.locking import locked
from anyloom.storage.tensors import read_tensors
from anyloom.training.checkpoint_files import CheckpointFiles
from faults.rows import row
from parts import llm_options, model_options, save_tokenizer
from projects import sections


class Payload:
    """Leaves a file when it is unpickled."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> Any:
        return (Path.touch, (self.place,))


@row(
    29,
    "files",
    done="checkpoints with code, with lies in the header, with names twice",
    promise="nothing runs; one line each",
)
def test_malicious_checkpoints(tmp_path: Path) -> None:
    canary = tmp_path / "ran"
    hidden = {"state_dict": {"a": torch.zeros(2)}, "hyper_parameters": {"_instantiator": Payload(canary)}}
    torch.save({**hidden, "pytorch-lightning_version": "2.6.6"}, tmp_path / "a.ckpt")
    (tmp_path / "b.ckpt").write_bytes(pickle.dumps(Payload(canary)))
    for name in ("a.ckpt", "b.ckpt"):
        with pytest.raises(CheckpointError):
            CheckpointFiles().load_checkpoint(tmp_path / name)
    torch.save({"a": Payload(canary)}, tmp_path / "c.bin")
    assert main(["to-safetensors", str(tmp_path / "c.bin")]) == 2
    headers: list[bytes] = [
        json.dumps({"a": {"dtype": "F32", "shape": [2**60], "data_offsets": [0, 8]}}).encode(),
        b'{"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}, "a": {}}',
        json.dumps({"a": {"dtype": "F32", "shape": [2], "data_offsets": [8, 16]}}).encode(),
        json.dumps({"a": {"dtype": "F32", "shape": [-1, -2], "data_offsets": [0, 8]}}).encode(),
    ]
    for header in headers:
        for length in (len(header), 2**62):
            (tmp_path / "m.safetensors").write_bytes(length.to_bytes(8, "little") + header + bytes(8))
            with pytest.raises(CheckpointError):
                read_tensors(tmp_path / "m.safetensors")
    assert not canary.exists()


@pytest.fixture
def published(tmp_path: Path) -> Path:
    from transformers import LlamaConfig, LlamaForCausalLM

    folder = save_tokenizer(tmp_path / "published")
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 4}
    LlamaForCausalLM(LlamaConfig(**sizes, vocab_size=320)).save_pretrained(folder)
    return folder


def changed(file: Path, **more: Any) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **more}))


@row(
    30,
    "files",
    done="a published folder with auto_map, kernels, trust flags, paths to other files",
    promise="no code, no question, no file outside",
)
def test_hostile_folder(published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    canary = tmp_path / "ran"
    (published / "evil.py").write_text(f"open({str(canary)!r}, 'w')")
    names = {"AutoConfig": "evil.C", "AutoModelForCausalLM": "evil.M", "AutoTokenizer": ["evil.T", "evil.T"]}
    hidden = {"_attn_implementation_internal": "evil/kernel", "_attn_implementation": "evil/kernel"}
    changed(published / "config.json", auto_map=names, trust_remote_code=True, **hidden)
    changed(published / "tokenizer_config.json", auto_map=names, tokenizer_file="/etc/passwd", vocab_file="/etc/passwd")

    def ask(*_: object) -> str:
        raise AssertionError("it asks whether to run code")

    monkeypatch.setattr("builtins.input", ask)
    options = model_options(published)
    options["llm"] = {"name": "llama", "weights": str(published)}
    AnyToAnyModel.from_config({"model": options})
    assert not canary.exists()
    (published / "model.safetensors").rename(tmp_path / "outside.safetensors")
    stored = safetensors.torch.load_file(tmp_path / "outside.safetensors")
    table = {"weight_map": dict.fromkeys(stored, "../outside.safetensors")}
    (published / "model.safetensors.index.json").write_text(json.dumps(table))
    with pytest.raises(AnyloomError, match="no file of this folder"):
        AnyToAnyModel.from_config({"model": options})


PLUGINS = {
    "raises": "raise SystemExit('no')",
    "hangs": "import time; time.sleep(100)",
    "twin": "@hookimpl\ndef anyloom_components():\n"
    "    return [ComponentSpec(kind='encoder', name='conv', target='a:B')]",
    "signature": "@hookimpl\ndef anyloom_components(model): return []",
    "patches": "import json; json.dumps = print; import os; os.chdir('/'); print('hello')\n"
    "@hookimpl\ndef anyloom_components():\n    return []",
}


@row(
    35,
    "plugin",
    done="plugins that raise, hang, take a name, have a wrong hook, patch Python",
    promise="named with version; the rest works",
)
def test_bad_plugins(tmp_path: Path) -> None:
    for name, source in PLUGINS.items():
        info = tmp_path / f"anyloom_{name}-4.2.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: anyloom-{name}\nVersion: 4.2\n")
        (info / "entry_points.txt").write_text(f"[anyloom]\nanyloom_{name} = anyloom_{name}.plugin\n")
        (tmp_path / f"anyloom_{name}").mkdir()
        (tmp_path / f"anyloom_{name}" / "__init__.py").touch()
        text = f"from anyloom.discovery import ComponentSpec, hookimpl\n{source}\n"
        (tmp_path / f"anyloom_{name}" / "plugin.py").write_text(text)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "ANYLOOM_PLUGIN_SECONDS": "2"}
    command = [sys.executable, "-m", "anyloom.cli.main", "plugins", "--json"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    listed = json.loads(done.stdout)
    states = {p["name"]: (p["status"], p["version"]) for p in listed["plugins"]}
    assert states["anyloom_conv"][0] == "ok"
    assert {n: states[f"anyloom_{n}"] for n in PLUGINS} == {
        n: ("ok" if n in ("twin", "patches") else "failed", "4.2") for n in PLUGINS
    }
    conv = [c["status"] for c in listed["components"] if (c["kind"], c["name"]) == ("encoder", "conv")]
    assert conv == ["duplicate", "duplicate"]
    assert "anyloom_patches (anyloom-patches 4.2)" in done.stderr


@row(
    36,
    "config",
    done="misspelt keys, wrong types, a file among its defaults, aliases, python tags",
    promise="one line with place and nearest key",
)
def test_wrong_configs(tmp_path: Path) -> None:
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x]\n"
    bomb += "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 9))
    cases = {
        "data: {batch_sise: 4}": "batch_size",
        "data: {batch_size: many}": "data.batch_size",
        "model: {llm: {name: lama}}": "llama",
        "defaults: [c.yaml]": "among its own 'defaults'",
        f"variables:\n{bomb}": "c.yaml",
        "a: !!python/object/apply:os.system [touch ran]": "c.yaml",
        "a: &a [*a]": "inside its own anchor",
        "data: {seed: 1, seed: 2}": "stands twice",
    }
    from anyloom.checking.preflight import look_over

    for text, said in cases.items():
        (tmp_path / "c.yaml").write_text(text)
        shown = "\n".join(map(str, look_over([tmp_path / "c.yaml"]).problems))
        assert said in shown, (text[:60], shown)
    assert not (tmp_path / "ran").exists()


@row(
    37,
    "files",
    done="a stored index whose file has changed, and one with flipped bytes in header and numbers",
    promise="made anew, said, never read wrongly",
)
def test_stale_and_corrupt_entries(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = tmp_path / "data"
    data.write_bytes(b"one\ntwo\n")
    made: list[int] = []

    def build() -> dict[str, Any]:
        made.append(len(data.read_bytes()))
        return {"places": np.arange(made[-1])}

    def opened() -> int:
        return len(open_index([data], "test", build, folder=tmp_path / "cache", size=1 << 30)["places"])

    assert [opened(), opened()] == [8, 8]
    assert made == [8]
    data.write_bytes(b"one\ntwo\nthree\n")
    assert opened() == 14
    assert made == [8, 14]
    (stored,) = (tmp_path / "cache").glob("*.index")
    whole = stored.read_bytes()
    for place in (0, 3, len(whole) // 2, len(whole) - 70):  # of the header, of the arrays
        stored.write_bytes(whole[:place] + bytes([whole[place] ^ 0x41]) + whole[place + 1 :])
        capsys.readouterr()
        assert opened() == 14
        assert capsys.readouterr().err.count("is broken and is made again") == 1
        assert stored.read_bytes() == whole
    assert len(made) == 6


@row(
    38,
    "files",
    done="a run where another one writes: result, checkpoints, and the output of every command",
    promise="one line that names the other; no mixed files",
)
@pytest.mark.parametrize("place", ["result", "ck"])
def test_two_runs_in_one_place(tmp_path: Path, place: str) -> None:
    from anyloom.training.run import run
    from core.training.test_exact_resume import saving

    config = sections(tmp_path, max_steps=2)
    config["trainer"]["callbacks"] = [saving(tmp_path, every_n_train_steps=1)]
    named = rf"another run writes here \(process {os.getpid()}"
    with locked(tmp_path / place), pytest.raises(CheckpointError, match=named):
        run("fit", config)
    assert not list(tmp_path.rglob("*.ckpt"))
    run("fit", config)


SCRIPT = "<script>alert(1)</script><img src=x onerror=alert(1)>"


@row(
    45,
    "server",
    done="script in texts and names, in reports and answers as HTML",
    promise="escaped",
)
def test_script_in_pages() -> None:
    asked, said = Conversation([Message("user", SCRIPT)]), Message("assistant", SCRIPT)
    page = render(
        Report(
            SCRIPT,
            SCRIPT,
            headlines=[Headline(SCRIPT, SCRIPT, SCRIPT)],
            measures=[Measure(SCRIPT, SCRIPT, [SCRIPT], [MeasuredRow(SCRIPT, [0.5], 3)])],
            measures_note=SCRIPT,
            samples=[SampleGroup(SCRIPT, SCRIPT, [SampleRow(asked, said, said, SCRIPT)])],
            curves=[Curve(SCRIPT, {SCRIPT: [(0.0, 1.0), (1.0, float("inf"))]}, SCRIPT, SCRIPT, SCRIPT)],
            stages=[StageRow(SCRIPT, SCRIPT, 1.0, 1)],
            environment={SCRIPT: SCRIPT},
            config=SCRIPT,
            attributions=[Attribution(SCRIPT, SCRIPT, SCRIPT, SCRIPT)],
            warning=SCRIPT,
        )
    )
    assert page.count("&lt;script&gt;alert(1)&lt;/script&gt;") > 15
    assert "<script>alert" not in page
    assert "<img src=x" not in page


TEXTS = st.text(st.characters(codec="utf-8"), max_size=60) | st.sampled_from(
    ["<image>", "</image>", "<audio>", "<|assistant|>", "</s>", "\u202e", "\u200b", "\x00\x07", "\ufeff", "<image>"]
)


@row(
    46,
    "data",
    done="markup of media, special tokens, control and other odd characters in texts",
    promise="they stay text, no markup of others",
)
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(texts=st.lists(TEXTS, min_size=1, max_size=5))
def test_forged_texts(texts: list[str], shared_model: AnyToAnyModel) -> None:
    model = shared_model
    prompt = Conversation([Message("user", "".join(texts) or "a")])
    pieces = model.llm.tokenizer.render(prompt.messages, open_answer=True)
    plain = model.llm.tokenizer.render([Message("user", "a")], open_answer=True)
    ids = [i for piece in pieces for i in piece.ids]
    tags = {i for t in model.tags.values() for i in (t.begin, t.end)}
    special = set(model.llm.tokenizer.special_ids()) | set(model.llm.tokenizer.stop_ids)
    assert not tags & set(ids)
    count = sum(i in special for i in ids)
    assert count == sum(i in special for piece in plain for i in piece.ids), "as many special tokens as without"
    again = model.llm.tokenizer.render(prompt.messages, open_answer=True)
    assert [p.ids for p in again] == [p.ids for p in pieces]


@pytest.fixture(scope="module")
def shared_model(tokenizer_folder: Path) -> AnyToAnyModel:
    return AnyToAnyModel.from_config({"model": model_options(tokenizer_folder)})


@row(
    47,
    "files",
    done="a saved model whose lists name files above it, and whose texts are HTML",
    promise="refused",
)
def test_saved_models_that_lead_out(tmp_path: Path, tokenizer_folder: Path) -> None:
    model = AnyToAnyModel.from_config({"model": model_options(tokenizer_folder, modalities=("image",))})
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "model.safetensors.index.json").write_text('{"weight_map": {"x": "../../b.safetensors"}}')
    with pytest.raises(CheckpointError):
        read_tensors(tmp_path / "a")
    model.save_pretrained(tmp_path / "m")
    record = json.loads((tmp_path / "m" / "config.json").read_text())
    changes: list[dict[str, Any]] = [
        {"files": {**record["files"], "../x": "0" * 64}},
        {"files": {}},
        {"model": {**record["model"], "llm": {**record["model"]["llm"], "tokenizer": "@/../../x"}}},
        {"model": {**record["model"], "llm": llm_options(Path("/etc"))}},
    ]
    for change in changes:
        (tmp_path / "m" / "config.json").write_text(json.dumps({**record, **change}))
        with pytest.raises(AnyloomError):
            AnyToAnyModel.from_pretrained(tmp_path / "m", trust=True)
