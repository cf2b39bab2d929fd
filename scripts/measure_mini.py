"""Measures a small model on held-out subjects: edits, rounds, other words, the right kind of answer, captions.

    python scripts/measure_mini.py MODEL [--choose] [--draws 5] [--queries 12] [--json FILE]

Each draw is a test split of its own seed; with --choose one of the split to compare trials by, whose words differ but
whose subjects are those of training. All answers are free-running, and pooled over the draws; beside every share
stands its 95 % interval (Wilson) and the number of queries. An edit is right if the target is nearest to the
predicted feature among all drawings and edits of the subject, the input among them. Rounds are measured twice: after
the true answers (``shown``), and after the model's own (``own``); sounds after edits and the same edit of another
picture are rows of their own. ``chained`` asks at the end of a conversation about something else (``after``) and the
same without it (``alone``). What is compared is predicted features; no decoder runs.
"""

from __future__ import annotations

import argparse
import json
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from anyloom import AnyToAnyModel, Conversation, Message
from anyloom.evaluation.intervals import interval_of_share
from anyloom.evaluation.measure import answer_samples, planned
from anyloom.generation.options import GenerationOptions
from anyloom.interfaces import Evaluated, Sample
from anyloom_incontext.features import FeatureTable
from anyloom_starter.builder import StarterBuilder

EDITS = ["geometry/mirror", "geometry/upside-down", "geometry/turn-left", "geometry/turn-right"]
EDITS += ["colour/shift-third", "colour/shift-two-thirds", "colour/opposite", "colour/grey", "colour/dark"]
TASKS = ("exemplar", "edit", "edit-rephrased", "composition", "rounds", "picture-to-text")
KINDS = {
    "edit-rephrased": "picture", "sound-effect": "sound", "wish": None, "talk": "words", "picture-to-text": "words",
    "sound-to-text": "words",
}  # fmt: skip
APART = ("again", "hear")  # rounds that do not count for the row of all rounds
NAMES = {"image": "picture", "audio": "sound", "video": "clip"}
BATCH = 64
Marks = dict[str, list[bool]]


def builder(seed: int, queries: int, tasks: Sequence[str]) -> StarterBuilder:
    """The starter set with one seed; form and edits as the suite in-context has them."""
    options = {
        "tasks": dict.fromkeys(tasks, 1), "form": "dialogue", "num_queries": queries, "seed": seed,
        "pixel_edits": EDITS, "test_examples": (0, 1, 2, 4),
    }  # fmt: skip
    return StarterBuilder(StarterBuilder.Config(**options))


def batches(samples: Sequence[Sample]) -> Iterator[list[Sample]]:
    """Runs of samples that are answered together."""
    for start in range(0, len(samples), BATCH):
        yield list(samples[start : start + BATCH])


def own_history(model: AnyToAnyModel, samples: Sequence[Sample], seed: int) -> list[Sample]:
    """The samples with the model's own answers in the place of the true ones, round by round; the last is kept."""
    histories = [list(s.conversation.messages) for s in samples]
    for turn in range(max(map(len, histories))):
        rows = [n for n, h in enumerate(histories) if turn < len(h) - 1 and h[turn].role == "assistant"]
        if not rows:
            continue
        prompts = [Conversation(histories[n][:turn]) for n in rows]
        options = [GenerationOptions(plan=planned(histories[n][turn]), decode=False) for n in rows]
        for n, answer in zip(rows, model.answer(prompts, [seed] * len(rows), options)):
            histories[n][turn] = answer
    return [replace(s, conversation=Conversation(h)) for s, h in zip(samples, histories)]


def right(tables: Mapping[str, FeatureTable], builder: StarterBuilder, evaluated: Sequence[Evaluated]) -> list[bool]:
    """Whether each answer is nearer to its target than to any other candidate."""
    marks = []
    for one in evaluated:
        row = [builder.media(key) for key in one.sample.provenance["candidates"]]
        table = tables[row[0].modality]
        table.add(row)
        made = next((m.features for m in one.answer.media if m.features is not None), None)
        index = one.sample.provenance["candidates"].index(one.sample.provenance["target"][0])
        distances = None if made is None else (table.get(row) - made.float().flatten()).square().sum(1)
        marks.append(distances is not None and int(distances.argmin()) == index)
    return marks


def groups(sample: Sample) -> list[str]:
    """The rows that a sample counts for."""
    task, family = sample.task, sample.provenance.get("family")
    name = f"{task}/k{sample.provenance['k']}" if "k" in sample.provenance else task
    if task == "rounds" and family in APART:
        return [f"{name}/{family}"]
    return [name] if family in (None, task) else [name, f"{name}/{family}"]


def edits(
    model: AnyToAnyModel, tables: Mapping[str, FeatureTable], data: StarterBuilder, split: str, marks: Marks
) -> None:
    """Edits by example and in words, compositions, rounds after true and after own answers, captions."""
    seed, samples = data.config.seed, list(data.build(split))
    for batch in batches(samples):
        both = [(batch, "")]
        rounds = [s for s in batch if s.task == "rounds"]
        if rounds:
            both = [(batch, "/shown"), (own_history(model, rounds, seed), "/own")]
        for chosen, suffix in both:
            evaluated = answer_samples(model, chosen, seed=seed)
            compared = [e for e in evaluated if e.sample.provenance["target"]]
            for one, mark in zip(compared, right(tables, data, compared)):
                for name in groups(one.sample):
                    marks[name + (suffix if one.sample.task == "rounds" else "")].append(mark)
            for one in evaluated:
                for attribute, word in one.sample.provenance.get("words", {}).items():
                    name = f"{one.sample.task}{suffix if one.sample.task == 'rounds' else ''}/{attribute}"
                    marks[name].append(word in one.answer.text)


def kinds(model: AnyToAnyModel, data: StarterBuilder, split: str, marks: Marks) -> None:
    """Whether words, a picture or a sound comes, where nothing says which is wanted but the conversation."""
    samples = list({_asked(s): s for s in data.build(split)}.values())  # small talk has few sentences
    for batch in batches(samples):
        for sample, answer in zip(batch, free_answers(model, batch, data.config.seed)):
            wanted = KINDS[sample.task] or NAMES[sample.provenance["family"]]
            mark = kind_of(answer) == wanted
            for name in ("kind", f"kind/{wanted}", f"kind/{sample.task}"):
                marks[name].append(mark)


def free_answers(model: AnyToAnyModel, samples: Sequence[Sample], seed: int) -> list[Message]:
    """Answers of any kind, as the model likes."""
    options = [GenerationOptions(decode=False, max_new_tokens=48)] * len(samples)
    return model.answer([s.conversation.prompt() for s in samples], [seed] * len(samples), options)


def chains(
    model: AnyToAnyModel, tables: Mapping[str, FeatureTable], data: StarterBuilder, split: str, marks: Marks
) -> None:
    """Whether the end of a chain gets the right kind of answer, and the right one, after the beginning and alone."""
    after = list(data.build(split))
    alone = [replace(s, conversation=Conversation(s.conversation.messages[-2:])) for s in after]
    for samples, place in ((after, "after"), (alone, "alone")):
        for batch in batches(samples):
            for sample, answer in zip(batch, free_answers(model, batch, data.config.seed)):
                mark = kind_of(answer) == kind_of(sample.conversation.messages[-1])
                for name in (f"chained/kind/{place}", f"chained/kind/{sample.provenance['family']}/{place}"):
                    marks[name].append(mark)
            compared = [e for e in answer_samples(model, batch, seed=data.config.seed) if _near(e)]
            for one, mark in zip(compared, right(tables, data, compared)):
                for name in (f"chained/{place}", f"chained/{one.sample.provenance['family']}/{place}"):
                    marks[name].append(mark)


def _near(one: Evaluated) -> bool:
    """Whether the target is to be told from others."""
    return len(one.sample.provenance["candidates"]) > 1


def _asked(sample: Sample) -> str:
    parts = [getattr(s, "text", None) or s.key for m in sample.conversation.prompt().messages for s in m.segments]
    return "|".join(parts)


def kind_of(answer: Message) -> str:
    """What an answer consists of: one picture, one sound, words, or something else."""
    found = [NAMES.get(m.modality, m.modality) for m in answer.media]
    if not found:
        return "words" if answer.text.strip() else "nothing"
    return found[0] if len(found) == 1 else "several"


def paired(marks: Mapping[str, list[bool]], better: str, than: str) -> dict[str, float]:
    """Mean difference of two rows over equal queries, in points, with its 95 % interval."""
    differences = torch.tensor([float(a) - float(b) for a, b in zip(marks[better], marks[than])])
    error = float(differences.std() / math.sqrt(len(differences))) if len(differences) > 1 else 0.0
    return {"points": 100 * float(differences.mean()), "interval": 196 * error, "count": len(differences)}


def shares(marks: Mapping[str, list[bool]]) -> dict[str, dict[str, float]]:
    """How many are right of each row, of how many, and the interval of the share (Wilson, 95 %)."""
    rows = {}
    for name, values in sorted(marks.items()):
        low, high = interval_of_share(sum(values) / len(values), len(values))
        rows[name] = {"right": sum(values), "count": len(values), "low": low, "high": high}
    return rows


def show(model: str, rows: Mapping[str, Mapping[str, float]]) -> None:
    """Print rows as a table."""
    print(f"\n| {model} | right, % | 95 % interval | N |\n|---|---:|---:|---:|")
    for name, row in rows.items():
        share = row["right"] / row["count"]
        print(f"| {name} | {100 * share:.1f} | {100 * row['low']:.1f} - {100 * row['high']:.1f} | {row['count']} |")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--choose", action="store_true", help="the split to compare trials by, not the reported one")
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--queries", type=int, default=12, help="per task and family, of each draw")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    model = AnyToAnyModel.from_pretrained(options.model, trust=True).eval()
    tables = {modality: FeatureTable(model, modality) for modality in ("image", "audio")}
    marks: Marks = defaultdict(list)
    split = "choose" if options.choose else "test"
    for seed in range(options.draws):
        edits(model, tables, builder(seed, options.queries, TASKS), split, marks)
        kinds(model, builder(seed, options.queries, list(KINDS)), split, marks)
        chains(model, tables, builder(seed, options.queries, ["chained"]), split, marks)
        print(f"draw {seed + 1} of {options.draws}", flush=True)
    rows = shares(marks)
    show(str(options.model), rows)
    rising = paired(marks, "exemplar/k4", "exemplar/k1")
    print(
        f"\nk = 4 over k = 1, paired: {rising['points']:+.1f} ± {rising['interval']:.1f} points, N = {rising['count']}"
    )
    if options.json:
        facts = {
            "model": str(options.model),
            "split": split,
            "draws": options.draws,
            "queries": options.queries,
            "rising": rising,
        }
        options.json.write_text(json.dumps({**facts, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
