"""The Stanford tokeniser that published COCO numbers went through: a Java program that pycocoevalcap ships."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from anyloom.errors import ConfigError

__all__ = ["stanford_words"]

_JAR: Final = "stanford-corenlp-3.4.1.jar"
_CLASS: Final = "edu.stanford.nlp.process.PTBTokenizer"
_SECONDS: Final = 600
_DROPPED: Final = frozenset(
    ("''", "'", "``", "`", "-LRB-", "-RRB-", "-LCB-", "-RCB-", ".", "?", "!", ",", ":", "-", "--", "...", ";")
)
"""What COCO's evaluation takes out. Brackets are lower case by then, so they stay: a slip that its numbers contain."""


def stanford_words(captions: Sequence[str]) -> list[str]:
    """Captions in lower case without punctuation, words between single spaces, as COCO's evaluation splits them.

    Args:
        captions: Any texts; line breaks in them count as spaces.

    Raises:
        anyloom.errors.ConfigError: Java or pycocoevalcap is not installed, or the program fails.
    """
    spec, java = importlib.util.find_spec("pycocoevalcap"), shutil.which("java")
    folders = [] if spec is None else list(spec.submodule_search_locations or ())
    if not folders or java is None:
        missing = "Java" if folders else "pycocoevalcap"
        fix = "install it, or use 'words'"
        raise ConfigError(f"the Stanford tokeniser needs {missing}", where="tokenizer", fix=fix)
    jar = Path(folders[0]) / "tokenizer" / _JAR
    lines = "\n".join(" ".join(caption.split()) for caption in captions)
    command = [
        java,
        "-Dfile.encoding=UTF-8",
        "-cp",
        str(jar),
        _CLASS,
        "-preserveLines",
        "-lowerCase",
        "-encoding",
        "UTF-8",
    ]
    try:
        done = subprocess.run(
            command, input=lines + "\n", capture_output=True, text=True, encoding="utf-8", timeout=_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ConfigError(f"the Stanford tokeniser failed ({error})", where="tokenizer") from error
    found = done.stdout.split("\n")[: len(captions)]
    if done.returncode or len(found) != len(captions):
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise ConfigError(f"the Stanford tokeniser failed ({last})", where="tokenizer")
    return [" ".join(word for word in line.split() if word not in _DROPPED) for line in found]
