"""The process that :mod:`anyloom.media.isolated` starts: reads media files on request, one line of JSON each."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any, BinaryIO

import safetensors.torch
from torch import Tensor

from anyloom.errors import AnyloomError
from anyloom.media.files import io_for

__all__ = ["main"]


def main(megabytes: int) -> int:
    """Answer until the other side closes; ``megabytes`` more than now may be taken."""
    # Libraries print where they like; only answers may go to the pipe.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    _limit_memory(megabytes)
    _say(answers, {"ready": True})
    for line in sys.stdin.buffer:
        try:
            head, tensor = _answer(json.loads(line))
        except AnyloomError as error:
            said: dict[str, Any] = {
                "kind": type(error).__name__,
                "what": error.what,
                "where": error.where,
                "fix": error.fix,
            }
            said["reason"] = getattr(error, "reason", None)
            head, tensor = {"error": said}, None
        except MemoryError:
            what = f"reading it takes more than {megabytes} MB"
            head, tensor = (
                {"error": {"what": what, "fix": "make it smaller, or raise the limit", "reason": "too large"}},
                None,
            )
        except Exception as error:  # a plugin's mistake with one file must not end the reading of the others
            head, tensor = {"error": {"what": f"its reader failed ({type(error).__name__}: {error})"}}, None
        _say(answers, head, tensor)
    return 0


def _answer(request: dict[str, Any]) -> tuple[dict[str, Any], Tensor | None]:
    io, path = io_for(request["modality"], request.get("options")), Path(request["path"])
    if request["do"] == "meta":
        return {"meta": dict(io.read_meta(path))}, None
    if request["do"] == "length":
        return {"length": io.length(path)}, None
    if request["do"] == "sample":
        return {}, io.sample(path, request["steps"], request["side"])
    if request["do"] == "note":
        return {"note": io.note(path)}, None
    media = io.read(path)
    return {"meta": dict(media.meta), "key": media.key}, media.tensor()


def _say(answers: BinaryIO, head: dict[str, Any], tensor: Tensor | None = None) -> None:
    content = b"" if tensor is None else safetensors.torch.save({"data": tensor.detach().cpu().contiguous()})
    answers.write(json.dumps({**head, "bytes": len(content)}).encode() + b"\n" + content)
    answers.flush()


def _limit_memory(megabytes: int) -> None:
    """Allow this process so much more address space than it has now; only Linux tells how much that is."""
    pages = Path("/proc/self/statm")
    if pages.exists():
        import resource  # not on Windows

        now = int(pages.read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (now + megabytes * 2**20, resource.RLIM_INFINITY))


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
