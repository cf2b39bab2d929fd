"""A sample in one line, as docs/guide/data.md shows it."""

from __future__ import annotations

from tests.plugins.datasets.corpora.memory_source import MemorySource

from anyloom.conversation import Text
from anyloom_corpora.tasks.choice import TaskOptions, one_of
from anyloom_corpora.text_feature import text_of


def rendered(sample) -> str:
    """Question and answer of every round; media by modality and number, text features in angle brackets."""
    numbers: dict[str, int] = {}
    turns = []
    for message in sample.conversation.messages:
        words = []
        for part in message.segments:
            if isinstance(part, Text):
                words.append(part.text.replace("\n", " ").strip())
            elif part.modality == "text-feature":
                words.append(f"⟨{text_of(part)}⟩")
            else:
                key = f"{part.modality} {part.key}"
                if key not in numbers:
                    numbers[key] = sum(k.startswith(f"{part.modality} ") for k in numbers)
                words.append(f"[{part.modality}{numbers[key]}]")
        turns.append(" ".join(words))
    return " → ".join(turns)


# what keeps the examples of the page short
OPTIONS = {
    "image-exemplar": TaskOptions(shots=(2,)),
    "audio-exemplar": TaskOptions(shots=(1,)),
    "question": TaskOptions(most=1),
    "concept": TaskOptions(shown=(2,)),
    "subject": TaskOptions(shown=(1,)),
}


def example(name: str) -> str:
    """The example of a task on that page: of the first record in memory, with seed 3."""
    series = MemorySource()[0]["images"]
    records = MemorySource(more={"images": series[: 1 if name == "question" else 4]})
    task = one_of({name: OPTIONS.get(name, 1.0)})
    return rendered(task(records, 0, 3)).replace("] .", "].").replace("⟩ .", "⟩.")
