"""Start-up: help, listing, fifty plugins more, the first picture, and an answer of text beside its libraries."""

from __future__ import annotations

import compileall
import os
import statistics
import sys
import tempfile
from pathlib import Path

from measure import Row, Rows, child

_PLUGIN = """
from anyloom.discovery import ComponentSpec, hookimpl
@hookimpl
def anyloom_components():
    return [ComponentSpec(kind="metric", name="m{n}", target="nothing:N", licence="MIT", summary="s")]
"""


def plugins(folder: Path, count: int) -> None:
    """Installed distributions with a plugin each."""
    for n in range(count):
        name = f"bench_plugin_{n}"
        (folder / name).mkdir(parents=True)
        (folder / name / "__init__.py").write_text("")
        (folder / name / "plugin.py").write_text(_PLUGIN.format(n=n))
        info = folder / f"{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[anyloom]\n{name} = {name}.plugin\n")
    compileall.compile_dir(folder, quiet=2)  # as pip does


def _roots() -> set[str]:
    """Folders of the packages of all plugins, the core's among them."""
    from importlib.util import find_spec

    from anyloom.discovery import get_registry

    found = [find_spec(package) for package in ("anyloom", *get_registry().packages)]
    return {folder for spec in found if spec for folder in spec.submodule_search_locations or ()}


def rows(quick: bool) -> Rows:
    """CPU seconds of whole commands."""
    command = [sys.executable, "-m", "anyloom.cli.main"]
    for root in _roots():  # as pip does; else each of these commands would do it again
        compileall.compile_dir(root, quiet=2)
    rounds = 3 if quick else 11
    for words, goal in ((["--help"], 0.3), (["plugins"], 0.3)):
        found = statistics.median(child([*command, *words]) for _ in range(rounds))
        yield Row(f"anyloom {words[0]}", "", found, goal, "lower", "CPU s")
    with tempfile.TemporaryDirectory() as folder:
        plugins(Path(folder), 50)
        before = os.environ.get("PYTHONPATH", "")
        differences = []
        for _ in range(rounds):
            os.environ["PYTHONPATH"] = before
            alone = child([*command, "--help"])
            os.environ["PYTHONPATH"] = f"{folder}:{before}"
            differences.append(child([*command, "--help"]) - alone)
        os.environ["PYTHONPATH"] = before
        yield Row("50 plugins more", "", 1000 * statistics.median(differences), 20, "lower", "CPU ms")
        words = [
            "generate",
            "mini",
            "--text",
            "Draw this: red apple, noto style.",
            "--force",
            "image",
            "--output",
            folder,
        ]
        found = statistics.median(child([*command, *words]) for _ in range(1 if quick else 3))
        yield Row("anyloom generate, the shipped model, to the picture", "", found, 6, "lower", "CPU s")
        libraries = [sys.executable, "-c", "import torch, transformers.models.llama.modeling_llama"]
        ratios = []
        for n in range(1 if quick else 5):
            talk = [*command, "chat", "mini", "--session", f"{folder}/{n}"]
            ratios.append(child(talk, "/plan text\nhello\n") / child(libraries))
        note = "what a first token waits for; transformers imports torch.distributed and dynamo with any model"
        peer = "importing torch and transformers' Llama"
        yield Row(
            "anyloom chat, the shipped model, an answer of text",
            peer,
            statistics.median(ratios),
            None,
            "lower",
            note=note,
        )
