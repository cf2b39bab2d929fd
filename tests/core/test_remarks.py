"""Words on standard error never cost the work that they are about."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from anyloom.remarks import say

FULL = Path("/dev/full")


@pytest.mark.skipif(not FULL.exists(), reason="a device that is always full is needed")
def test_a_full_disk_costs_the_words_alone() -> None:
    code = "from anyloom.remarks import say; say('lost'); print('done')"
    with FULL.open("w") as full:
        done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=full, check=False)
    assert (done.returncode, done.stdout) == (0, b"done\n")


def test_a_reader_that_left_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    class Pipe:
        def write(self, text: str) -> int:
            raise BrokenPipeError

        def flush(self) -> None: ...

    monkeypatch.setattr(sys, "stderr", Pipe())
    with pytest.raises(BrokenPipeError):
        say("gone")
