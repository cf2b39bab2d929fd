"""What only an accelerator shows, in at most eight minutes on one H100: ``python benchmarks/gpu.py --json FILE``.

Text-only LoRA steps of a Llama-2-7B shape at 4,096 positions, packed steps of four modalities with the losses of all
decoders, MFU of both, decode times eager and compiled, memory in 16, 8 and 4 bits, and the tests marked ``gpu``. All
weights are random: the sizes are those of the recipe codi2. Without an accelerator everything runs at tiny sizes
(``--tiny``). The file is written after each part, so that what ends early has said what it knows; a part that fails
says why in ``error``, one for which no time or library is there in ``skipped``.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import importlib.util
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import torch
from measure import ROOT, versions
from torch.overrides import TorchFunctionMode

sys.path.insert(0, str(ROOT / "scripts"))
PEER: Final = {"name": "NeMo Automodel, Llama-2-7B LoRA, one H100", "tokens_per_second": [12473, 14110]}
RECIPE: Final = "codi2"
WORDS: Final = "turn the picture and the sound into a clip, make it blue and let it ring "


class Run:
    """Device, sizes, and the time that is left.

    Args:
        folder: For tokenizer and checkpoints.
        tiny: Take the smallest sizes.
        seconds: Time for everything.
    """

    def __init__(self, folder: Path, *, tiny: bool, seconds: float) -> None:
        from make_tiny_codi2 import llama_tokenizer

        self.folder, self.tiny = folder, tiny
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.ends = time.monotonic() + seconds
        self.positions = 128 if tiny else 4096
        self.warm, self.steps = (1, 1) if tiny else (2, 5)
        llama_tokenizer().save_pretrained(folder / "tokenizer")

    @property
    def left(self) -> float:
        """Seconds."""
        return self.ends - time.monotonic()

    def wait(self) -> None:
        """For the device."""
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def autocast(self) -> Any:
        """The precision of the recipe: bf16-mixed on a GPU."""
        return torch.autocast("cuda", torch.bfloat16) if self.device.type == "cuda" else contextlib.nullcontext()

    def memory(self) -> int:
        """Bytes at the highest, since :meth:`fresh`; 0 without a GPU."""
        return torch.cuda.max_memory_allocated() if self.device.type == "cuda" else 0

    def fresh(self) -> None:
        """Let go of what is not used, and measure memory anew."""
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()

    def options(self) -> dict[str, Any]:
        """The recipe's ``model:`` section with random weights; the tokenizer is a small one of Llama 2's manner."""
        from anyloom.config.compose import compose

        sources: list[str | Path] = [RECIPE, ROOT / "scripts" / "tiny_sizes.yaml"] if self.tiny else [RECIPE]
        model: dict[str, Any] = compose(sources)["model"]
        for part in (model["llm"], *model["encoders"].values(), *model["decoders"].values()):
            part.pop("weights", None)
        model["llm"]["tokenizer"] = str(self.folder / "tokenizer")
        model["max_length"] = self.positions
        if self.tiny:
            model["llm"]["dtype"] = model["encoders"]["imagebind"]["dtype"] = "float32"
            model["llm"]["architecture"] |= {
                "vocab_size": 512, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
                "num_attention_heads": 4, "num_key_value_heads": 4, "max_position_embeddings": 256,
            }  # fmt: skip
        return model

    def built(self, model: dict[str, Any]) -> Any:
        """A model on the device."""
        from anyloom import AnyToAnyModel

        return self.drawn(lambda: AnyToAnyModel.from_config({"model": model}))

    @torch.no_grad()
    def drawn(self, build: Callable[[], Any]) -> Any:
        """What a function builds, with large tensors drawn on the device: 7 billion numbers take long on a host."""
        large = 1_000 if self.tiny else 65_536
        torch.manual_seed(0)
        with Undrawn(large):
            module = build()
        module.to(self.device)
        for parameter in module.parameters():
            if parameter.numel() > large:
                parameter.normal_(std=0.02)
        return module


class Undrawn(TorchFunctionMode):
    """Leaves large tensors on the host as they are where they would be drawn.

    Args:
        large: Numbers of the smallest of them.
    """

    def __init__(self, large: int) -> None:
        super().__init__()
        self.large = large

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call the function, unless it draws such a tensor."""
        if func in (torch.Tensor.normal_, torch.Tensor.uniform_) and args[0].numel() > self.large:
            return args[0]
        return func(*args, **(kwargs or {}))


def text_samples(model: Any, positions: int) -> list[Any]:
    """One conversation that just fits into so many positions."""
    from anyloom import Conversation, Message
    from anyloom.interfaces import Sample

    def of(times: int) -> Sample:
        text = WORDS * times
        return Sample(Conversation([Message("user", text), Message("assistant", text)]), "text", key=str(times))

    def length(times: int) -> int:
        tokenizer = model.llm.tokenizer
        return sum(len(piece.ids) for piece in tokenizer.render(of(times).conversation.messages))

    base, per = length(1), length(3) - length(2)
    times = max(1, 1 + (positions - base) // per)
    while times > 1 and length(times) > positions:
        times -= 1
    return [of(times)]


def mixed_samples(run: Run, model: Any) -> list[Any]:
    """Conversations of four modalities that fill a row."""
    from anyloom import Conversation, Message
    from anyloom.conversation import Media
    from anyloom.interfaces import Sample

    side, frames, rate = (32, 4, 16000) if run.tiny else (256, 16, 16000)

    def image(n: int) -> Media:
        return Media("image", torch.rand(3, side, side), key=f"image-{n}")

    def sound(n: int) -> Media:
        return Media("audio", 0.1 * torch.randn(1, 2 * rate), key=f"audio-{n}", meta={"sample_rate": float(rate)})

    def clip(n: int) -> Media:
        return Media("video", torch.rand(frames, 3, side, side), key=f"video-{n}", meta={"fps": 8.0})

    torch.manual_seed(0)
    interleaver, samples, used = model.interleaver(), [], 0
    words = WORDS if run.tiny else WORDS * 8
    while True:
        n = 2 * len(samples)
        user = Message("user", [words, image(n), sound(n)])
        answer = Message("assistant", ["here it is ", image(n + 1), sound(n + 1), clip(n)])
        sample = Sample(Conversation([user, answer]), "mixed", key=f"mixed-{n}")
        length = len(interleaver(sample.conversation))
        if samples and used + length > run.positions:
            return samples
        used += length
        samples.append(sample)


def steps(run: Run, model: Any, samples: Sequence[Any]) -> dict[str, Any]:
    """Training steps on one row of samples: time, FLOPs, MFU, memory."""
    from anyloom.training.flops import counting, peak_flops, utilisation

    model.train()
    run.fresh()
    batch = model.collator().pack([list(samples)]).to(run.device)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-4)

    def step() -> torch.Tensor:
        with run.autocast():
            loss = model(batch).total()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return loss.detach()

    with counting(model) as flops:
        loss = float(step())
    for _ in range(run.warm):
        step()
    run.wait()
    began = time.perf_counter()
    for _ in range(run.steps):
        step()
    run.wait()
    seconds = (time.perf_counter() - began) / run.steps
    peak = peak_flops(run.device)
    useful = int((batch.segments > 0).sum())
    return {
        "positions": batch.ids.numel(),
        "useful_tokens": useful,
        "pad_share": 1 - useful / batch.ids.numel(),
        "samples": len(samples),
        "targets": {k: v for k, v in batch.counts().items() if v},
        "loss": loss,
        "seconds_per_step": seconds,
        "tokens_per_second": useful / seconds,
        "flops": {"step": flops.total, "trainable": flops.trainable, "components": flops.components},
        "flops_known": flops.known,
        "peak_flops_per_second": peak,
        "mfu_executed": utilisation(flops.total, seconds, peak) if flops.known else 0.0,
        "mfu_trainable": utilisation(flops.trainable, seconds, peak) if flops.known else 0.0,
        "memory_bytes": run.memory(),
    }


def text(run: Run) -> dict[str, Any]:
    """LoRA of the language model alone."""
    model = run.built({**run.options(), "encoders": {}, "decoders": {}, "modalities": {}})
    return {**steps(run, model, text_samples(model, run.positions)), "peer": PEER}


def mixed(run: Run) -> dict[str, Any]:
    """Four modalities, packed, with the losses of all decoders."""
    model = run.built(run.options())
    return steps(run, model, mixed_samples(run, model))


@torch.no_grad()
def decode(run: Run) -> dict[str, Any]:
    """Each decoder, eager and compiled: seconds of one medium."""
    import anyloom
    from anyloom.interfaces.decoder import Condition

    found: dict[str, Any] = {}
    denoising_steps = 2 if run.tiny else 10
    backend = "eager" if run.device.type == "cpu" else "inductor"
    for key, options in run.options()["decoders"].items():
        plain = {k: v for k, v in options.items() if k != "name"}
        decoder = run.drawn(lambda o=options, p=plain: anyloom.build("decoder", o["name"], p)).eval()
        features = torch.randn(1, decoder.config.tokens, decoder.config.dim, device=run.device)
        sampling = decoder.Sampling(denoising_steps=denoising_steps)

        def make(decoder: Any = decoder, features: Any = features, sampling: Any = sampling) -> float:
            run.wait()
            began = time.perf_counter()
            with run.autocast():
                decoder.generate(Condition(features, None, None), seeds=[0], sampling=sampling)
            run.wait()
            return time.perf_counter() - began

        run.fresh()
        make()
        row: dict[str, Any] = {"denoising_steps": denoising_steps, "eager_seconds": make(), "backend": backend}
        row["memory_bytes"] = run.memory()
        if run.left < (0 if run.tiny else 120):
            row["compiled_skipped"] = "no time left"
        else:
            try:
                decoder.unet.compile(backend=backend)
                row["first_compiled_seconds"] = make()
                row["compiled_seconds"] = make()
            except Exception as error:  # what a compiler cannot do is a result
                row["compiled_error"] = short(error)
            torch.compiler.reset()
        found[key] = row
        del decoder
        run.fresh()
    return found


@torch.no_grad()
def inference_memory(run: Run) -> dict[str, Any]:
    """Memory of the language model that reads 128 tokens, in 16, 8 and 4 bits."""
    import transformers

    if run.left < 100 and not run.tiny:
        return {"skipped": "no time left"}
    llm = run.options()["llm"]
    architecture = transformers.AutoConfig.for_model(**llm["architecture"])
    checkpoint = run.folder / "checkpoint"
    model = run.drawn(lambda: transformers.AutoModelForCausalLM.from_config(architecture, dtype=torch.bfloat16))
    found: dict[str, Any] = {"bf16": read_some(run, model)}
    if run.device.type != "cuda" or importlib.util.find_spec("bitsandbytes") is None:
        return {**found, "skipped": "8 and 4 bits need an accelerator and bitsandbytes"}
    model.save_pretrained(checkpoint)
    del model
    for name, bits in (
        ("int8", {"load_in_8bit": True}),
        ("nf4", {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4", "bnb_4bit_use_double_quant": True}),
    ):
        run.fresh()
        kind = transformers.BitsAndBytesConfig(**bits)
        model = transformers.AutoModelForCausalLM.from_pretrained(
            checkpoint, quantization_config=kind, device_map={"": 0}, dtype=torch.bfloat16
        )
        found[name] = read_some(run, model)
        del model
    return found


def read_some(run: Run, model: Any) -> dict[str, int]:
    """Bytes held, and at the highest of a pass."""
    run.fresh()
    held = sum(tensor.nbytes for tensor in (*model.parameters(), *model.buffers()))
    model(torch.ones(1, 128, dtype=torch.long, device=run.device))
    return {"held_bytes": held, "peak_bytes": run.memory()}


def gpu_tests(run: Run) -> dict[str, Any]:
    """The tests that are marked ``gpu``; without an accelerator they are skipped."""
    if run.left < 30 and not run.tiny:
        return {"skipped": "no time left"}
    files = sorted(str(p.relative_to(ROOT)) for p in (ROOT / "tests").rglob("test_*_gpu.py"))
    command = [sys.executable, "-m", "pytest", "-q", "-n", "0", "-m", "gpu", "-p", "no:cacheprovider", *files]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=max(run.left, 120), check=False
    )  # fmt: skip
    lines = done.stdout.strip().splitlines()
    return {"status": done.returncode, "last_line": lines[-1] if lines else done.stderr[-200:], "files": files}


PARTS: Final[dict[str, Callable[[Run], dict[str, Any]]]] = {
    "text": text, "mixed": mixed, "gpu_tests": gpu_tests, "decode": decode, "inference_memory": inference_memory,
}  # fmt: skip


def short(error: Exception) -> str:
    """One line of an error."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"


def goals(found: dict[str, Any]) -> dict[str, Any]:
    """Whether the second part reaches nine tenths of the first one's MFU, and 40 % itself; None where unknown."""
    first, second = (found.get(name, {}).get("mfu_executed", 0.0) for name in ("text", "mixed"))
    if not first or not second:
        return {"mixed_over_text": None, "met": None}
    return {"mixed_over_text": second / first, "met": second >= 0.9 * first and second >= 0.4}


def main() -> int:
    """Run the parts and write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--tiny", action="store_true", default=not torch.cuda.is_available())
    parser.add_argument("--seconds", type=float, default=450, help="what is left out where time runs short")
    parser.add_argument("--only", choices=PARTS, action="append")
    options = parser.parse_args()
    machine = {"processor": platform.processor() or platform.machine(), "cores": os.cpu_count()}
    if torch.cuda.is_available():
        machine["device"] = torch.cuda.get_device_name()
    found: dict[str, Any] = {"tiny": options.tiny, "machine": machine, "versions": versions("transformers")}
    with tempfile.TemporaryDirectory() as folder:
        run = Run(Path(folder), tiny=options.tiny, seconds=options.seconds)
        for name in options.only or PARTS:
            began = time.monotonic()
            try:
                found[name] = PARTS[name](run)
            except Exception as error:  # the other parts are worth their time all the same
                found[name] = {"error": short(error)}
            found[name]["part_seconds"] = time.monotonic() - began
            run.fresh()
            found["goals"] = goals(found)
            options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
            print(f"{name}: {json.dumps(found[name])}", flush=True)
    return 1 if any("error" in found[name] for name in options.only or PARTS) else 0


if __name__ == "__main__":
    sys.exit(main())
