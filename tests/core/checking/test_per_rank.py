"""Memory of a process against what PyTorch itself gives each of eight."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch.testing._internal.distributed.fake_pg import FakeStore

from anyloom.checking.per_rank import Held, rank_memory
from anyloom.model.model import AnyToAnyModel
from anyloom.training.parallel import shard
from parts import llm_options, model_options


@pytest.fixture
def eight() -> Iterator[None]:
    """A process that takes itself for the first of eight."""
    torch.distributed.init_process_group("fake", store=FakeStore(), rank=0, world_size=8)
    yield
    torch.distributed.destroy_process_group()


def model_of(folder: Path) -> AnyToAnyModel:
    options = model_options(folder, llm=llm_options(folder, lora={"rank": 3, "targets": ["q_proj"]}))
    return AnyToAnyModel.from_config({"model": options})


def test_fsdp2_holds_what_pytorch_gives_the_first_of_eight(tokenizer_folder: Path, eight: None) -> None:
    model = model_of(tokenizer_folder)
    held = [Held(part.component, not part.fixed) for part in model.parts.components()]
    found = rank_memory(held, "fsdp2", 8)
    whole = rank_memory(held, "ddp", 8)
    shard(model, torch.distributed.device_mesh.init_device_mesh("cpu", (8,)))
    parameters = list(model.parameters())
    # What is sent is padded to the same size everywhere, and the first process holds a whole piece.
    local = [p.to_local() if hasattr(p, "to_local") else p for p in parameters]
    trained = [tensor for p, tensor in zip(parameters, local) if p.requires_grad]
    buffers = sum(b.nbytes for b in model.buffers())
    assert found.weights == sum(tensor.nbytes for tensor in local) + buffers
    assert found.gradients == sum(tensor.nbytes for tensor in trained)
    assert found.optimizer == 2 * found.gradients
    assert found.buckets == 0
    assert whole.weights / 8 <= found.weights < whole.weights / 4


def test_ddp_holds_all_and_its_gradients_twice(tokenizer_folder: Path) -> None:
    model = model_of(tokenizer_folder)
    held = [Held(part.component, not part.fixed) for part in model.parts.components()]
    found = rank_memory(held, "ddp", 2)
    trained = sum(p.nbytes for p in model.parameters() if p.requires_grad)
    assert (found.gradients, found.buckets, found.optimizer) == (trained, trained, 2 * trained)
    assert found.weights == sum(t.nbytes for t in (*model.parameters(), *model.buffers()))
    assert rank_memory(held, "ddp", 1).buckets == 0


def test_of_a_model_in_blocks_two_are_whole_at_once(tokenizer_folder: Path) -> None:
    options = llm_options(tokenizer_folder)
    options["architecture"] |= {"num_hidden_layers": 6}
    llm = AnyToAnyModel.from_config({"model": {"llm": options, "encoders": {}, "modalities": {}}}).llm
    blocks = llm.shard_units()
    assert len(blocks) == 6
    block = sum(p.nbytes for p in blocks[0].parameters())
    everything = sum(p.nbytes for p in llm.parameters())
    assert rank_memory([Held(llm, True)], "fsdp2", 8).gathered == everything - 4 * block
