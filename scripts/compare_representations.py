"""Trains one small model with each representation for equally many steps, and measures all with the same yardstick.

    python scripts/compare_representations.py runs/representations [--steps 1500] [--queries 40]

Everything but the representation is equal: language model, data, order of samples, optimizer, steps. ``codes`` reads
and writes the codes of a VQ autoencoder, which a stage of its own trains first; the others read the features of the eye
that ships and are decoded by the brush that ships. Since their features cannot be compared, pixels are: an answer is
right if, of all pictures of the subject (drawings and edits, the input among them), the target is nearest to the
decoded answer in mean squared distance of pixels. Beside each stands what the decoder makes of the target's own
features: no answer can be expected to do better. The run goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from anyloom import AnyToAnyModel, Message
from anyloom.cli.main import main as anyloom
from anyloom.conversation import Media
from anyloom.evaluation.intervals import interval_of_share
from anyloom.interfaces import Condition, Sample
from anyloom_starter.builder import StarterBuilder

CONFIG = Path(__file__).with_name("representations.yaml")
MLP = {"name": "mlp", "hidden_dim": 384}
REPRESENTATIONS = {
    "autoregressive": {"input_projector": MLP, "output_projector": MLP, "feature_noise": 0.2},
    "parallel": {"input_projector": MLP, "output_projector": MLP, "feature_noise": 0.2},
    "queries": {"queries": 4, "input_projector": MLP, "width": 192, "heads": 4, "layers": 2},
    "codes": {"temperature": 0.0},
    "edit": {"compare": {"pair": True}, "change": {"gated_units": 384, "dropout": 0.2}, "feature_noise": 0.2},
}
TASKS = ("exemplar/k0", "exemplar/k1", "edit")


def train(folder: Path, name: str, steps: int) -> None:
    """Train the model with one representation, unless that was done."""
    words = [str(CONFIG), "--stage", "model", f"variables.run={folder}", f"variables.name={name}"]
    words += [f"stages.model.trainer.max_steps={steps}", f"trainer.default_root_dir={folder}/log-{name}"]
    changed = json.dumps({"name": name, **REPRESENTATIONS[name]})
    words.append(f"model.modalities.image.representation={changed}")
    if name == "codes":
        if not (folder / "vq").exists():
            vq = [str(CONFIG), "--stage", "vq", f"variables.run={folder}", f"trainer.default_root_dir={folder}/log-vq"]
            run([*vq, f"stages.vq.trainer.max_steps={steps}"])
        sizes = json.dumps({"name": "vq", "sizes": "${variables.vq}", "weights": f"{folder}/vq"})
        words += [f"model.encoders.eye={sizes}", f"model.decoders.brush={sizes}"]
        words.append("stages.model.module.start_from.parts=[encoders.ear, decoders.voice]")
    if not (folder / name).exists():
        run(words)


def run(words: list[str]) -> None:
    """Run ``anyloom fit``."""
    if anyloom(["fit", *words]) != 0:
        sys.exit(f"failed: anyloom fit {' '.join(words)}")


def queries(count: int) -> Iterator[tuple[str, Sample]]:
    """Held-out queries by task; exemplars with no example and with one."""
    options = {"num_queries": count, "form": "prompt", "test_examples": (0, 1), "tasks": {"exemplar": 1, "edit": 1}}
    recipe = StarterBuilder(StarterBuilder.Config(**options))
    for sample in recipe.build("test"):
        yield (sample.task if sample.task == "edit" else f"exemplar/k{sample.provenance['k']}"), sample


def measure(folder: Path, name: str, count: int) -> dict[str, tuple[int, int]]:
    """Right answers and queries, by task; under ``decoder`` those of the true features."""
    model = AnyToAnyModel.from_pretrained(folder / name, trust=True).eval()
    builder = StarterBuilder(StarterBuilder.Config())
    found: dict[str, list[bool]] = {task: [] for task in (*TASKS, "decoder")}
    for task, sample in queries(count):
        candidates = torch.stack([pixels(builder.media(key)) for key in sample.provenance["candidates"]])
        right = sample.provenance["candidates"].index(sample.provenance["target"][0])
        answer = model.generate(sample.conversation.prompt(), plan=("image",), seed=0)
        assert isinstance(answer, Message)
        found[task].append(nearest(pixels(answer.media[0]), candidates) == right)
        if task == "edit":
            found["decoder"].append(nearest(reconstructed(model, sample), candidates) == right)
    return {task: (sum(values), len(values)) for task, values in found.items()}


def reconstructed(model: AnyToAnyModel, sample: Sample) -> Tensor:
    """What the decoder makes of the target's own features, with the edited picture as its reference."""
    encoder, decoder = model.parts.encoders["eye"], model.parts.decoders["brush"]
    target, source = sample.conversation.messages[-1].media[0], sample.conversation.prompt().media[-1]
    with torch.no_grad():
        features = encoder(encoder.preprocess(target)[None], "image")
        reference = decoder.preprocess(source)[None] if decoder.uses_reference else None
        return pixels(decoder.generate(Condition(features, reference), seeds=[0])[0])


def pixels(media: Media) -> Tensor:
    """Values 0..1, ``(3, 64, 64)``."""
    values = media.tensor().float()
    return values / 255 if media.tensor().dtype == torch.uint8 else values


def nearest(made: Tensor, candidates: Tensor) -> int:
    """Which candidate is nearest."""
    return int((candidates - made).square().mean((1, 2, 3)).argmin())


def table(results: dict[str, dict[str, tuple[int, int]]]) -> str:
    """A Markdown table with 95 % intervals (Wilson)."""
    lines = ["| representation | no example | one example | in words | from true features |", "|---|---|---|---|---|"]
    for name, values in results.items():
        cells = []
        for task in (*TASKS, "decoder"):
            right, count = values[task]
            low, high = interval_of_share(right / count, count)
            cells.append(f"{100 * right / count:.1f} ({100 * low:.0f} - {100 * high:.0f})")
        lines.append(f"| `{name}` | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Train, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--queries", type=int, default=40, help="per family")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    file = options.folder / "results.json"
    results = json.loads(file.read_text()) if file.exists() else {}
    for name in REPRESENTATIONS:
        train(options.folder, name, options.steps)
        if name not in results:
            results[name] = measure(options.folder, name, options.queries)
            file.write_text(json.dumps(results, indent=1))
        print(table(results), flush=True)


if __name__ == "__main__":
    main()
