"""Opening JSON Lines of many records: time, memory and the first batch, once the index is there."""

from __future__ import annotations

import json
import multiprocessing
import resource
import sys
import tempfile
import time
from pathlib import Path

from anyloom.data.conversations import ConversationTask
from anyloom.data.loader import Batching, ResumableLoader, SampleOrder
from anyloom.data.mixture import Mixture, Part
from anyloom.data.reading import SampleSet
from anyloom.data.sources import JsonLines
from anyloom.interfaces import TaskSamples


def main() -> None:
    """Write, index, then open in a process of its own."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000_000
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.jsonl"
        with path.open("w") as file:
            for n in range(count):
                question = {"role": "user", "content": f"{n}?"}
                file.write(json.dumps({"messages": [question, {"role": "assistant", "content": "yes"}]}) + "\n")
        start = time.process_time()
        JsonLines(path)
        print(f"{count} records of {path.stat().st_size >> 20} MB: indexed in {time.process_time() - start:.2f} s CPU")
        process = multiprocessing.get_context("fork").Process(target=opened, args=(path,))
        process.start()
        process.join()


def opened(path: Path) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.process_time()
    samples = TaskSamples(JsonLines(path), ConversationTask("chat", path.parent, {}, None))
    part = Part("a", len(samples), 1.0, shards=samples.shards)
    order = SampleOrder([SampleSet("a", lambda epoch: samples, samples)], Mixture([part]))
    loader = ResumableLoader(order, Texts(), Batching(8, bucket=32))
    middle = time.process_time()
    batch = next(iter(loader))
    end = time.process_time()
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(f"opened in {middle - start:.3f} s CPU, first of {len(batch)} {end - middle:.3f} s, +{grown:.0f} MB")


class Texts:
    """A batch is what the samples say; length in letters."""

    def length(self, sample: object) -> int:
        return len(sample.conversation.messages[0].text)  # type: ignore[attr-defined]

    def __call__(self, samples: list[object]) -> list[str]:
        return [s.conversation.messages[0].text for s in samples]  # type: ignore[attr-defined]


if __name__ == "__main__":
    main()
