"""Measures a small model on what it was trained on by name, and on pictures that are not of the pack.

    python scripts/measure_known.py MODEL [--draws 5] [--queries 60] [--json FILE]

Known subjects are those of training, in conversations that training need not have had: is the caption's name the exact
one, are the words for style and skin tone right, and is the picture that is asked for by name among the nearest 1 and 5
of all 7,572 to the predicted feature? Pictures from outside (``outside/ATTRIBUTION.md``) are edited in pixels: examples
are of training subjects, and the target must be nearest among the picture and all its edits. All answers are
free-running and pooled over the draws. Beside every share stands its 95 % interval and the number of queries: Wilson's
for known subjects; for pictures from outside, which come again in every draw with other examples, that of the mean over
the forty pictures.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import statistics
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from measure_mini import EDITS, Marks, batches, builder, shares, show

from anyloom import AnyToAnyModel, Media
from anyloom.evaluation.measure import answer_samples
from anyloom.interfaces import Sample
from anyloom.media import read_media
from anyloom_incontext.features import FeatureTable
from anyloom_starter.edits import PIXEL_EDITS
from anyloom_starter.pack import load_pack
from anyloom_starter.picture_edits import example_pairs, exemplar_sample
from anyloom_starter.pool import Pair, pool_of

OUTSIDE = Path(__file__).parent / "outside"
NEAREST = (1, 5)


def known(model: AnyToAnyModel, table: FeatureTable, seed: int, queries: int, marks: Marks) -> None:
    """Captions of training subjects, and pictures of them that are asked for in words."""
    data = builder(seed, queries, ["picture-to-text", "text-to-picture", "wish"])
    gallery = data.gallery("image")
    table.add(gallery)
    features, place = table.get(gallery), {m.key: n for n, m in enumerate(gallery)}
    for batch in batches([s for s in data.build("val") if isinstance(s, Sample)]):
        for one in answer_samples(model, batch, seed=seed):
            for attribute, word in one.sample.provenance.get("words", {}).items():
                marks[f"known/{one.sample.task}/{attribute}"].append(word in one.answer.text)
            target = next((m for m in one.sample.conversation.messages[-1].media if m.modality == "image"), None)
            if target is None:
                continue
            made = next(m.features for m in one.answer.media if m.features is not None)
            distances = (features - made.float().flatten()).square().sum(1)
            nearer = int((distances < distances[place[target.key]]).sum())
            for count in NEAREST:
                marks[f"known/{one.sample.task}/top{count}"].append(nearer < count)


def outside_queries(seed: int, examples: int) -> Iterator[tuple[Sample, list[Media]]]:
    """Each picture with each edit that changes it, after some examples; and what its target is told apart from."""
    pool, rng = pool_of("train"), random.Random(f"{seed}/{examples}")
    drawing = load_pack().pictures[0]  # a pair names drawings of the pack, of which this is none
    for file in sorted(OUTSIDE.glob("*.png")):
        pixels = read_media(file).tensor()
        made = {name: PIXEL_EDITS[name].apply(pixels) for name in EDITS}
        for name in EDITS:
            if torch.equal(made[name], pixels):
                continue
            others = [x for x in [pixels, *(made[n] for n in EDITS)] if not torch.equal(x, made[name])]
            source, target = (Media("image", x, key=f"{file.stem}/{n}") for x, n in ((pixels, ""), (made[name], name)))
            shown = example_pairs(rng, pool, name, examples, avoid="")
            rest = [Media("image", x) for x in others]
            yield exemplar_sample(Pair(name, source, target, (drawing, drawing)), shown, "dialogue"), [target, *rest]


def outside(model: AnyToAnyModel, table: FeatureTable, seed: int, marks: dict[str, Marks]) -> None:
    """Edits of pictures from outside, and how often the input is what comes back; by picture."""
    for examples in (0, 1, 4):
        queries = list(outside_queries(seed, examples))
        answers = [a for batch in batches([s for s, _ in queries]) for a in answer_samples(model, batch, seed=seed)]
        for one, (sample, candidates) in zip(answers, queries):
            made = next((m.features for m in one.answer.media if m.features is not None), None)
            features = table.encode(candidates)
            nearest = -1 if made is None else int((features - made.float().flatten()).square().sum(1).argmin())
            family, file = sample.provenance["family"], sample.provenance["source"].split("/")[0]
            for name in (f"outside/k{examples}", f"outside/k{examples}/{family}"):
                marks[name][file].append(nearest == 0)
            marks[f"outside/k{examples}/copies"][file].append(nearest == 1)


def mean_of_pictures(values: Sequence[float]) -> tuple[float, float]:
    """Mean over pictures and half its 95 % interval.

    >>> mean_of_pictures([0.0, 1.0, 0.0, 1.0])
    (0.5, 0.5658...)
    """
    return statistics.fmean(values), 1.96 * statistics.stdev(values) / math.sqrt(len(values))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--queries", type=int, default=60, help="per task of each draw, of known subjects")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    model = AnyToAnyModel.from_pretrained(options.model, trust=True).eval()
    table, marks = FeatureTable(model, "image"), defaultdict(list)
    by_picture: dict[str, Marks] = defaultdict(lambda: defaultdict(list))
    for seed in range(options.draws):
        known(model, table, seed, options.queries, marks)
        outside(model, table, seed, by_picture)
        print(f"draw {seed + 1} of {options.draws}", flush=True)
    rows = shares(marks)
    for name, pictures in sorted(by_picture.items()):
        mean, half = mean_of_pictures([statistics.fmean(marks) for marks in pictures.values()])
        count = sum(map(len, pictures.values()))
        low, high = max(0.0, mean - half), min(1.0, mean + half)
        rows[name] = {"right": mean * count, "count": count, "low": low, "high": high}
    show(str(options.model), rows)
    one, four = by_picture["outside/k1"], by_picture["outside/k4"]
    points, half = mean_of_pictures([100 * (statistics.fmean(four[n]) - statistics.fmean(one[n])) for n in one])
    print(f"\noutside, k = 4 over k = 1, by picture: {points:+.1f} ± {half:.1f} points, {len(one)} pictures")
    if options.json:
        rising = {"points": points, "interval": half, "count": len(one)}
        facts = {"model": str(options.model), "draws": options.draws, "queries": options.queries, "rising": rising}
        options.json.write_text(json.dumps({**facts, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
