"""Runs a function on two gloo processes and compares what they learn with one process."""

from __future__ import annotations

import datetime
import itertools
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from anyloom import AnyToAnyModel, Conversation, Message
from anyloom.conversation import Media
from anyloom.interfaces import Sample
from anyloom.training.counts import summed_counts
from anyloom.training.parallel import shard
from parts import image_decoder_options, model_options, picture, sound

KINDS = ("text", "image", "audio", "video")
TERMS = ["text", *(f"{t}/{m}" for m in ("audio", "image", "video") for t in ("feature", "diffusion"))]


def subsets() -> list[tuple[str, ...]]:
    """All 16 subsets of the four kinds of answer."""
    return [s for size in range(5) for s in itertools.combinations(KINDS, size)]


def pairs(every: int = 1) -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
    """What two processes' batches hold: all 256 pairs, or every n-th of them."""
    return list(itertools.product(subsets(), subsets()))[::every]


def model(tokenizer: Path) -> AnyToAnyModel:
    """Three modalities, one trained encoder, one decoder."""
    torch.manual_seed(11)
    options = model_options(tokenizer, modalities=("image", "audio", "video"))
    options["encoders"]["ear"] = {"class_path": "parts.PatchEncoder", "freeze": False}
    options["modalities"]["audio"] |= {"encoder": "ear", "representation": {"name": "parallel"}}
    options["decoders"] = {"brush": image_decoder_options()}
    options["modalities"]["image"]["decoder"] = "brush"
    return AnyToAnyModel.from_config({"model": options}).eval()  # chance comes from the samples outside training


def clip(seed: int) -> Media:
    values = torch.rand(4, 3, 6, 6, generator=torch.Generator().manual_seed(seed))
    return Media("video", values, key=f"clip-{seed}", meta={"fps": 8.0})


def sample(kinds: tuple[str, ...], seed: int) -> Sample:
    """A sample whose answer holds some kinds of segment."""
    made = {"text": "a red heart", "image": picture(seed), "audio": sound(seed), "video": clip(seed)}
    answer = [made[k] for k in kinds]
    return Sample(Conversation([Message("user", "hello"), Message("assistant", answer)]), "t", key=f"{kinds}{seed}")


def everything(rank: int, tokenizer: Path, folder: Path, report: Any) -> None:
    """Every eleventh pair in both ways, and the placements of shards: the two processes start once for all of it."""
    report[rank] = {**worst_of(rank, tokenizer, 11), "placements": placements(rank, tokenizer, folder)}


def every_pair(rank: int, tokenizer: Path, report: Any) -> None:
    """All 256 pairs, in both ways."""
    report[rank] = worst_of(rank, tokenizer, 1)


def worst_of(rank: int, tokenizer: Path, every: int) -> dict[str, float]:
    """On each of two processes: gradients of pairs of batches, against one process; the largest difference by way.

    It is a share of the largest gradient of its pair. In float64 (but for norms and losses, which take their own
    float32): how sums in another order are rounded depends on the machine's kernels.
    """
    torch.set_default_dtype(torch.float64)
    try:
        return _worst_of(rank, tokenizer, every)
    finally:
        torch.set_default_dtype(torch.float32)


def _worst_of(rank: int, tokenizer: Path, every: int) -> dict[str, float]:
    single, replicated, sharded = (model(tokenizer).double() for _ in range(3))
    replicated.idle = sharded.idle = True
    shard(sharded, dist.device_mesh.init_device_mesh("cpu", (2,)))
    ways: dict[str, tuple[Any, dict[str, torch.nn.Parameter]]] = {
        "ddp": (torch.nn.parallel.DistributedDataParallel(replicated), trained(replicated)),
        "fsdp2": (sharded, trained(sharded)),
    }
    collate, parameters = single.collator(), trained(single)
    worst = dict.fromkeys(ways, 0.0)
    for number, pair in enumerate(pairs(every)):
        expected = {n: torch.zeros_like(p) for n, p in parameters.items()}
        alone = number % 2  # the process that computes what one process learns from both batches
        if rank == alone:
            single(collate([sample(kinds, seed) for seed, kinds in enumerate(pair)])).total().backward()
            expected |= {n: p.grad for n, p in parameters.items() if p.grad is not None}
            forget(parameters)
        together = torch.cat([e.flatten() for e in expected.values()])
        dist.broadcast(together, alone)
        pieces = together.split([e.numel() for e in expected.values()])
        expected = {n: piece.view_as(e) for (n, e), piece in zip(expected.items(), pieces, strict=True)}
        batch = collate([sample(pair[rank], rank)])
        counts = summed_counts([batch.counts()], TERMS, torch.device("cpu"))
        for way, (wrapped, own) in ways.items():
            wrapped(batch).total({n: c / 2 for n, c in counts.items()}).backward()
            apart = max(difference(p, expected[n], rank, (pair, n)) for n, p in own.items())
            worst[way] = max(worst[way], apart / float(together.abs().max()))
            forget(own)
    return worst


def trained(network: torch.nn.Module) -> dict[str, torch.nn.Parameter]:
    return {n: p for n, p in network.named_parameters() if p.requires_grad}


def forget(parameters: dict[str, torch.nn.Parameter]) -> None:
    """Let gradients go; ``zero_grad`` would walk through all modules again for every pair."""
    for parameter in parameters.values():
        parameter.grad = None


def difference(parameter: torch.nn.Parameter, expected: torch.Tensor, rank: int, where: Any) -> float:
    """The largest between a gradient and the expected one; of a sharded one, between this process's rows of both."""
    found: Any = parameter.grad
    assert found is not None, where
    if hasattr(found, "to_local"):
        found = found.to_local()
        rows = expected.chunk(2)  # one row alone is the first process's
        expected = rows[rank] if rank < len(rows) else expected[:0]
    assert found.shape == expected.shape, where
    return float((found - expected).abs().max()) if found.numel() else 0.0


def run(function: Callable[..., None], *arguments: Any) -> dict[int, Any]:
    """Call a function with rank, arguments and a dictionary to report into, on two processes; return the reports."""
    with mp.Manager() as manager:
        report = manager.dict()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        mp.spawn(_process, (port, sys.path, function, arguments, report), nprocs=2)
        return dict(report)


def _process(rank: int, port: int, path: list[str], function: Any, arguments: Any, report: Any) -> None:
    sys.path[:] = path
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.set_num_threads(1)
    dist.init_process_group("gloo", rank=rank, world_size=2, timeout=datetime.timedelta(seconds=60))
    try:
        function(rank, *arguments, report)
    finally:
        dist.destroy_process_group()


def _placed(network: AnyToAnyModel, placement: str, mesh: Any) -> None:
    """Shard a network as somebody does by hand, or as ``strategy: fsdp2`` does (``components``)."""
    from torch.distributed.fsdp import fully_shard

    parts = network.parts
    if placement == "components":
        shard(network, mesh)
        return
    modules = {
        "llm": [parts.llm],
        "blocks": [*parts.llm.shard_units(), parts.llm],
        "decoder": [parts.decoders["brush"]],
        "encoder": [parts.encoders["ear"]],
        "whole": [network],
    }
    for module in modules[placement]:
        fully_shard(module, mesh=mesh)


PLACEMENTS = ("llm", "blocks", "decoder", "encoder", "whole", "components")


def placements(rank: int, tokenizer: Path, folder: Path) -> dict[str, dict[str, Any]]:
    """In each placement of the shards: the share of the bytes that a process holds, losses, answers, saved folders.

    Answers are to questions of its own, for which the processes take another number of passes.
    """
    mesh = dist.device_mesh.init_device_mesh("cpu", (2,))
    plain = model(tokenizer)
    batch = plain.collator()([sample(KINDS, 7)])
    prompt = sample(KINDS, 5).conversation.prompt()
    own = {"plan": ("image", "text") if rank else ("text",), "max_new_tokens": 3 + 4 * rank, "decode": False}
    loss, expected = plain(batch).total().detach(), plain.generate(prompt, **own)
    if rank == 0:
        plain.save_pretrained(folder / "one")
    found: dict[str, dict[str, Any]] = {}
    for placement in PLACEMENTS:
        network = model(tokenizer)
        _placed(network, placement, mesh)
        network.save_pretrained(folder / placement)
        seen: dict[str, Any] = {"same": _alike(network.generate(prompt, **own), expected)}
        total = network(batch).total()
        seen["loss"] = abs(float(total.detach() - loss))
        total.backward()
        found[placement] = seen | {"share": _share_in_training(network)}
    return found


def _alike(answer: Any, expected: Any) -> bool:
    return bool(answer.text == expected.text) and all(
        torch.allclose(a.features, b.features, atol=1e-5) for a, b in zip(answer.media, expected.media, strict=True)
    )


def _share_in_training(network: AnyToAnyModel) -> float:
    """Of weights, gradients and AdamW's moments, what this process holds after a step; with DDP it is all of them."""
    optimizer = torch.optim.AdamW([p for p in network.parameters() if p.requires_grad])
    optimizer.step()
    moments = [v for state in optimizer.state.values() for v in state.values() if v.ndim]
    tensors = [*network.parameters(), *(p.grad for p in network.parameters() if p.grad is not None), *moments]
    held = sum(t.to_local().nbytes if hasattr(t, "to_local") else t.nbytes for t in tensors)
    return held / sum(t.nbytes for t in tensors)
