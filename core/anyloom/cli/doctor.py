"""``anyloom doctor``: what may be wrong with an installation or a machine, each with its cure, and a first answer."""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, metadata, requires, version
from pathlib import Path
from typing import Final, Literal

from anyloom.discovery import ALLOW_VARIABLE, get_registry
from anyloom.errors import AnyloomError

__all__ = ["Finding", "findings", "main"]

_LITTLE_DISK: Final = 2 << 30
_LITTLE_SHARED: Final = 256 << 20
_LITTLE_MEMORY: Final = 3 << 30
_FEW_FILES: Final = 512
_DEVELOPERS: Final = ("dev", "docs", "benchmarks")
_MARKS: Final = {"ok": "ok   ", "note": "note ", "fault": "FAULT"}


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Args:
        level: ``fault`` keeps something from working, ``note`` may.
        what: What was found.
        cure: What to do.
    """

    level: Literal["ok", "note", "fault"]
    what: str
    cure: str = ""


def main(arguments: Sequence[str]) -> int:
    """Run ``anyloom doctor`` with the words after it; the status is 1 if there is a fault."""
    parser = argparse.ArgumentParser(
        prog="anyloom doctor", description="Look for what may be wrong here, and say what to do about it."
    )
    parser.add_argument("--no-answer", dest="answer", action="store_false", help="do not try the model that ships")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(list(arguments))
    found = []
    for finding in findings(answer=options.answer):
        found.append(finding)
        if not options.json:
            print(f"{_MARKS[finding.level]} {finding.what}")
            if finding.cure:
                print(f"      to do: {finding.cure}")
    faults = sum(f.level == "fault" for f in found)
    if options.json:
        print(json.dumps([asdict(f) for f in found], indent=1))
    else:
        print(f"{faults} faults, {sum(f.level == 'note' for f in found)} notes")
    return 1 if faults else 0


def findings(*, answer: bool = True) -> Iterator[Finding]:
    """Look at everything.

    Args:
        answer: Also ask the model that ships for a medium.
    """
    for look in (_python, _requirements, _extras, _device, _threads, _plugins, _codecs, _places, _limits, _variables):
        yield from look()
    if answer:
        yield from _answer()


def _python() -> Iterator[Finding]:
    yield Finding("ok", f"Python {platform.python_version()} on {platform.platform()}, {sys.executable}")


def _requirements() -> Iterator[Finding]:
    """Versions of what anyloom requires."""
    from packaging.requirements import Requirement

    wrong = 0
    for text in requires("anyloom") or ():
        needed = Requirement(text)
        if needed.marker is not None and not needed.marker.evaluate({"extra": ""}):
            continue
        try:
            there = version(needed.name)
        except PackageNotFoundError:
            there = ""
        if not there or not needed.specifier.contains(there, prereleases=True):
            wrong += 1
            what = f"{needed.name} {there or 'is missing'}, but {needed.specifier or 'any version'} is required"
            yield Finding("fault", what, "pip install -c constraints.txt -e .")
    if not wrong:
        yield Finding("ok", f"anyloom {version('anyloom')}, all required packages in their versions")


def _extras() -> Iterator[Finding]:
    """Optional packages by extra."""
    from packaging.requirements import Requirement

    extras = [extra for extra in metadata("anyloom").get_all("Provides-Extra") or () if extra not in _DEVELOPERS]
    missing: dict[str, list[str]] = {}
    for text in requires("anyloom") or ():
        needed = Requirement(text)
        if needed.marker is None or needed.name == "anyloom":
            continue
        for extra in extras:
            if needed.marker.evaluate({"extra": extra}) and not _installed(needed.name):
                missing.setdefault(extra, []).append(needed.name)
    for extra, names in missing.items():
        yield Finding("note", f"extra {extra!r} is not whole: {', '.join(names)}", f"pip install 'anyloom[{extra}]'")
    if not missing:
        yield Finding("ok", "all extras are installed")


def _installed(name: str) -> bool:
    try:
        version(name)
    except PackageNotFoundError:
        return False
    return True


def _device() -> Iterator[Finding]:
    import torch

    if torch.accelerator.is_available():
        yield Finding("ok", f"torch {torch.__version__} with {torch.accelerator.current_accelerator()}")
    elif shutil.which("nvidia-smi"):
        what = f"there is an NVIDIA driver, but torch {torch.__version__} cannot use it"
        yield Finding("note", what, "install the torch build for your CUDA version, see pytorch.org")
    else:
        yield Finding("ok", f"torch {torch.__version__}, no accelerator: models run on the processor")


def _threads() -> Iterator[Finding]:
    import torch

    cores, threads = len(os.sched_getaffinity(0)), torch.get_num_threads()
    if threads > cores:
        yield Finding(
            "note", f"{threads} threads on {cores} cores slow each other down", f"set OMP_NUM_THREADS={cores}"
        )
    else:
        yield Finding("ok", f"{threads} threads on {cores} cores")


def _plugins() -> Iterator[Finding]:
    registry = get_registry()
    for plugin in registry.plugins:
        if plugin.status not in ("ok", "disabled"):
            cure = "update or uninstall it; 'anyloom plugins' says more"
            yield Finding("fault", f"plugin {plugin} is {plugin.status}: {plugin.cause}", cure)
    for spec in registry.components():
        status = registry.status(spec)
        if status == "duplicate":
            what = f"{spec.kind} {spec.name!r} comes from several packages, one of them {spec.package}"
            yield Finding("fault", what, "uninstall one of them")
    yield Finding("ok", f"{len(registry.plugins)} plugins, {len(registry.components())} components")


def _codecs() -> Iterator[Finding]:
    """What can be written: sounds, and clips where PyAV is there."""
    import soundfile

    lacking = [name for name in ("WAV", "FLAC", "OGG", "MP3") if name not in soundfile.available_formats()]
    if lacking:
        yield Finding("note", f"libsndfile has no {', '.join(lacking)}", "update soundfile: pip install -U soundfile")
    if not _installed("av"):
        return  # the extra has been named
    import av.codec

    missing = [name for name in ("libx264", "libvpx-vp9") if name not in av.codec.codecs_available]
    if missing:
        yield Finding("note", f"PyAV has no {', '.join(missing)}", "install the wheel from PyPI: pip install -U av")
    if not lacking and not missing:
        yield Finding("ok", "codecs for sounds and clips")


def _places() -> Iterator[Finding]:
    """Where results, the cache and temporary files go."""
    places = {
        "the working folder": Path.cwd(),
        "the cache": Path.home() / ".cache",
        "temporary files": Path(tempfile.gettempdir()),
    }
    for name, place in places.items():
        yield _place(name, place)
    shared = Path("/dev/shm")
    if shared.is_dir() and shutil.disk_usage(shared).total < _LITTLE_SHARED:
        size = shutil.disk_usage(shared).total >> 20
        cure = "give the container more (docker run --shm-size=1g) before you train on several GPUs"
        yield Finding("note", f"only {size} MB of shared memory, which processes on several GPUs use", cure)


def _place(name: str, place: Path) -> Finding:
    from anyloom.storage.space import require_room

    try:
        require_room(place)
    except AnyloomError as error:
        return Finding("fault", f"{name}: {error.where} {error.what}", error.fix)
    existing = next(p for p in (place, *place.parents) if p.exists())
    free = shutil.disk_usage(existing).free
    if free < _LITTLE_DISK:
        return Finding("note", f"{name}: only {free / 1e9:.1f} GB are free in {place}", "make room")
    return Finding("ok", f"{name}: {free / 1e9:.0f} GB are free in {place}")


def _limits() -> Iterator[Finding]:
    """Open files and memory."""
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if 0 <= files < _FEW_FILES:
        yield Finding("note", f"at most {files} open files, too few for many data workers", "ulimit -n 4096")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if memory < _LITTLE_MEMORY:
        cure = "close other programs; train with a small data.batch_size"
        yield Finding("note", f"{memory / 1e9:.1f} GB of memory is little", cure)
    else:
        yield Finding("ok", f"{memory / 1e9:.0f} GB of memory, {files} open files")


def _variables() -> Iterator[Finding]:
    """Variables that change what is found."""
    if ALLOW_VARIABLE in os.environ:
        what = f"{ALLOW_VARIABLE}={os.environ[ALLOW_VARIABLE]} lets only these plugins load"
        yield Finding("note", what, f"unset {ALLOW_VARIABLE} to load all")
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        if os.environ.get(name, "0").lower() not in ("", "0", "false"):
            yield Finding("note", f"{name} is set: nothing is downloaded from the hub", f"unset {name} to allow it")


def _answer() -> Iterator[Finding]:
    """The model that ships answers with a medium."""
    from anyloom.config.packages import shipped_weights

    folder = shipped_weights()
    if folder is None:
        yield Finding("note", "no trained model ships with the installed plugins", "install one that does")
        return
    start = time.monotonic()
    try:
        yield _first_medium(folder, start)
    except AnyloomError as error:
        yield Finding("fault", f"the model that ships does not answer: {error}", "install anyloom again")


def _first_medium(folder: Path, start: float) -> Finding:
    import anyloom
    from anyloom.conversation import Conversation, Message

    model = anyloom.AnyToAnyModel.from_pretrained(folder, trust=True)
    made = next(name for name in model.tags if model.decoder(name) is not None)
    answer = model.generate(Conversation([Message("user", "hello")]), media={made: "force"})
    assert isinstance(answer, Message), "one conversation has one answer"
    if not bool(answer.media[0].tensor().isfinite().all()):
        return Finding("fault", f"the answer of {folder.name} is not finite", "install anyloom and torch again")
    return Finding("ok", f"the model that ships answered with {made} after {time.monotonic() - start:.1f} s")
