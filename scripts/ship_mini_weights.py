"""Puts a trained mini model into the package, in half precision, with its model card.

    python scripts/ship_mini_weights.py runs/demo/model evaluation/results.json

Then measure what ships (it was rounded) and record it::

    anyloom evaluate --suite in-context
    python scripts/write_mini_page.py evaluation/results.json plugins/models/anyloom_mini/weights
    python scripts/record_shipped_slice.py
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

from anyloom import AnyToAnyModel
from anyloom.config.saved import read_record
from anyloom.evaluation.results import Results

FOLDER = Path(__file__).resolve().parents[1] / "plugins" / "models" / "anyloom_mini" / "weights"
HISTORY = Path(__file__).with_name("mini_history.md")
LARGEST = 60 * 2**20
NUMBERS = (
    ("edits right after one example (hard gallery)", "retrieval/exemplar/k1/hard_top1"),
    ("the same without an example", "retrieval/exemplar/k0/hard_top1"),
    ("the same by vector arithmetic", "retrieval/exemplar/k1/hard_top1_arithmetic"),
    ("edits right when asked for in words (hard gallery)", "retrieval/edit/hard_top1"),
    ("decoded edits recognised, first 5 (full gallery)", "chain/exemplar/full_top5"),
)

CARD = """\
# Model card: anyloom mini

A miniature of CoDi-2 (arXiv 2311.18775): a language model that reads and writes text, pictures and sounds in any order.
{parameters:.1f} M parameters, stored in float16, loaded in float32.

- Use: to try the framework, to see in-context editing work on a laptop, to test plugins against. Not for anything else:
  pictures are 64 x 64 pixels, sounds 2.56 seconds, and it knows only what the starter pack shows.
- Trained from nothing by the stages of the recipe `mini` on the starter pack alone: drawings of Noto Emoji (Apache-2.0)
  and Twemoji (CC-BY-4.0) with names from emoji-data (MIT), and Sonic Pi samples (CC0-1.0). No other data, no people's
  photographs, no scraped text.
- Held out: all drawings whose subject falls into the test split, by a hash of its name, from every stage.
- Licence of the weights: Apache-2.0. Pictures in twemoji style that it generates derive from CC-BY-4.0 drawings:
  name Twemoji when you publish them.
- Limits: names of unseen subjects cannot be known; faces are not drawn in detail; edits of style are the hardest. It
  was measured on held-out subjects of the same kind of drawings, not on photographs.
- SHA-256 of model.safetensors: `{digest}`

{history}

## Measured

{numbers}
At most {queries} queries per task, seed {seed}, by `{command}`; all values in docs/mini.md.
"""


def main() -> None:
    """Write the folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="folder of the trained model")
    parser.add_argument("results", type=Path, help="results.json of the suite in-context")
    parser.add_argument("--output", type=Path, default=FOLDER, help="default: the package's own")
    options = parser.parse_args()
    results = Results.read(options.results)
    draft = options.output.with_name(options.output.name + ".part")
    shutil.rmtree(draft, ignore_errors=True)
    AnyToAnyModel.from_pretrained(options.model).save_pretrained(draft, dtype="float16")
    size = sum(f.stat().st_size for f in draft.rglob("*") if f.is_file())
    if size > LARGEST:
        shutil.rmtree(draft)
        sys.exit(f"{size / 2**20:.1f} MiB are too many, at most {LARGEST / 2**20:.0f} may ship")
    (draft / "MODEL_CARD.md").write_text(card(draft, results), encoding="utf-8")
    shutil.rmtree(options.output, ignore_errors=True)
    draft.replace(options.output)
    print(f"{options.output}: {size / 2**20:.1f} MiB")


def card(folder: Path, results: Results) -> str:
    """The model card of a saved model with what was measured of it."""
    found = [(label, results.values[name]) for label, name in NUMBERS if name in results.values]
    lines = [f"| {label} | {100 * v.value:.1f} ± {100 * (v.error or 0):.1f} % | {v.count} |\n" for label, v in found]
    facts = results.facts
    return CARD.format(
        history=HISTORY.read_text(encoding="utf-8").strip(),
        parameters=sum(facts.get("parameters", {}).values()) / 1e6,
        digest=read_record(folder)["files"]["model.safetensors"],
        numbers="| | value ± standard error | N |\n| --- | ---: | ---: |\n" + "".join(lines),
        queries=facts.get("queries"),
        seed=facts.get("seed"),
        command=facts.get("command"),
    )


if __name__ == "__main__":
    main()
