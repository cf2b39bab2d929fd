"""One forward: scores of each family as its own forward makes them, packing, caches, sharding, compiling."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from anyloom.errors import ConfigError
from anyloom.interfaces import LLMInputs, LLMOutput
from anyloom_llama.llm import CausalLM

SIZES: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
}
NARROW = {k: v for k, v in SIZES.items() if k != "num_key_value_heads"}
GPT = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64}
FAMILIES: dict[str, dict[str, Any]] = {
    "llama": SIZES,
    "mistral": {**SIZES, "sliding_window": 4, "head_dim": 8},
    "mixtral": {**SIZES, "num_local_experts": 4},
    "qwen2": SIZES,
    "qwen3": {**SIZES, "head_dim": 8},
    "gemma": {**SIZES, "head_dim": 8},
    "gemma2": {**SIZES, "head_dim": 8, "final_logit_softcapping": 3.0, "sliding_window": 4},
    "gemma3_text": {**SIZES, "head_dim": 8, "sliding_window": 4},
    "cohere": {**SIZES, "logit_scale": 0.0625},
    "granite": {**SIZES, "logits_scaling": 8.0, "embedding_multiplier": 12.0},
    "minicpm3": {
        **{**SIZES, "num_key_value_heads": 4},
        **{"q_lora_rank": 16, "kv_lora_rank": 8, "qk_rope_head_dim": 4, "qk_nope_head_dim": 4, "v_head_dim": 8},
        "dim_model_base": 8,
    },
    "olmo2": SIZES,
    "phi": SIZES,
    "phi3": SIZES,
    "stablelm": SIZES,
    "starcoder2": SIZES,
    "glm": {**SIZES, "head_dim": 8},
    "gpt2": GPT,
    "gptj": {**GPT, "rotary_dim": 4},
    "gpt_neo": {
        **{"hidden_size": 32, "num_layers": 2, "num_heads": 4, "max_position_embeddings": 64},
        "attention_types": [[["global", "local"], 1]],
    },
    "gpt_neox": NARROW,
    "opt": {**{k: v for k, v in NARROW.items() if k != "intermediate_size"}, "ffn_dim": 48, "word_embed_proj_dim": 16},
    "bloom": {"hidden_size": 32, "n_layer": 2, "n_head": 4},
    "falcon": {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4},
    "mpt": {"d_model": 32, "n_layers": 2, "n_heads": 4, "max_seq_len": 64},
}
PACKS = set(FAMILIES) - {"opt", "bloom", "falcon", "mpt"}


def built(tokenizer: Path, family: str, **more: Any) -> CausalLM:
    """A model of a family with weights large enough to show scales and caps."""
    architecture = {"model_type": family, **FAMILIES[family]}
    torch.manual_seed(0)
    llm = CausalLM.from_options(
        {"tokenizer": str(tokenizer), "architecture": architecture, "attention": "eager", **more}
    )
    with torch.no_grad():
        for parameter in llm.lm.parameters():
            if parameter.ndim > 1:
                torch.nn.init.normal_(parameter, std=0.3)
    return llm.eval()


def read(llm: CausalLM, ids: Tensor, segments: Tensor | None = None, **more: Any) -> LLMOutput:
    """One pass; positions count from 0 in every sample."""
    segments = torch.ones_like(ids) if segments is None else segments
    positions = torch.zeros_like(ids)
    for row, line in enumerate(segments):
        for sample in set(line.tolist()) - {0}:
            at = line == sample
            positions[row, at] = torch.arange(int(at.sum()))
    output: LLMOutput = llm(LLMInputs(ids, positions, segments, **more))
    return output


def everywhere(ids: Tensor) -> Tensor:
    return torch.ones_like(ids, dtype=torch.bool).nonzero()


@pytest.mark.parametrize("family", FAMILIES)
def test_scores_are_those_of_the_models_own_forward(tokenizer_folder: Path, family: str) -> None:
    llm = built(tokenizer_folder, family)
    ids = torch.randint(5, 200, (2, 12))
    with torch.no_grad():
        ours = read(llm, ids, logits_at=everywhere(ids)).logits
        theirs = llm.lm(input_ids=ids).logits.flatten(0, 1)
    assert ours is not None
    assert theirs.std() > 0.05
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("family", ["llama", "gemma", "gemma2", "cohere", "granite"])
def test_an_added_token_with_an_old_ones_rows_is_that_token(tokenizer_folder: Path, family: str) -> None:
    """Scaled embeddings (Gemma), scaled and capped scores: added rows go through all of it, as old ones do."""
    llm = built(tokenizer_folder, family)
    [new] = llm.add_tokens(["<new>"])
    with torch.no_grad():
        llm.new_input_rows[0] = llm.lm.get_input_embeddings().weight[7]
        llm.new_output_rows[0] = llm.lm.get_output_embeddings().weight[7]
        old, added = (read(llm, torch.tensor([[5, i, 9]]), logits_at=torch.tensor([[0, 1], [0, 2]])) for i in (7, new))
    torch.testing.assert_close(added.hidden, old.hidden)
    assert old.logits is not None
    torch.testing.assert_close(old.logits[:, new], old.logits[:, 7])


@pytest.mark.parametrize(
    ("family", "attention"), [*((f, "eager") for f in sorted(PACKS)), ("llama", "sdpa"), ("mistral", "sdpa")]
)
def test_packed_samples_are_read_as_if_alone(tokenizer_folder: Path, family: str, attention: str) -> None:
    llm = built(tokenizer_folder, family, attention=attention)
    first, second = torch.randint(5, 200, (1, 9)), torch.randint(5, 200, (1, 6))
    segments = torch.tensor([[1] * 9 + [2] * 6 + [0] * 2, [1] * 6 + [0] * 11])
    rows = torch.cat([torch.cat([first, second, second[:, :2]], 1), torch.cat([second, first, second[:, :2]], 1)])
    with torch.no_grad():
        packed = read(llm, rows, segments).hidden
        alone = [read(llm, ids).hidden for ids in (first, second)]
    torch.testing.assert_close(packed[:1, :15], torch.cat(alone, 1), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(packed[1:, :6], alone[1], atol=1e-4, rtol=1e-4)


def test_attention_that_a_family_does_not_have_is_named(tokenizer_folder: Path) -> None:
    """GPT-J has no SDPA; Gemma 2 caps its attention, which SDPA cannot."""
    for family in ("gptj", "gemma2"):
        architecture = {"model_type": family, **FAMILIES[family]}
        options = {"tokenizer": str(tokenizer_folder), "architecture": architecture}
        with pytest.raises(
            ConfigError, match=r"attention: .* does not work with this attention.*attention: eager"
        ) as e:
            CausalLM.from_options(options)
        assert "\n" not in str(e.value)


@pytest.mark.parametrize("family", sorted(set(FAMILIES) - PACKS))
def test_families_that_cannot_pack_say_so(tokenizer_folder: Path, family: str) -> None:
    llm = built(tokenizer_folder, family)
    ids = torch.randint(5, 200, (1, 6))
    with pytest.raises(ConfigError, match=f"'{family}' cannot keep samples in one row apart"):
        read(llm, ids, torch.tensor([[1, 1, 1, 2, 2, 2]]))
    padded = read(llm, torch.cat([ids, ids], 1), torch.tensor([[1] * 6 + [0] * 6])).hidden
    torch.testing.assert_close(padded[:, :6], read(llm, ids).hidden, atol=1e-4, rtol=1e-4)


def test_rows_without_gaps_need_no_mask(tokenizer_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SDPA's own causal attention is used for whole rows and for padding on the right."""
    llm = built(tokenizer_folder, "llama", attention="sdpa")
    seen: list[tuple[bool, bool]] = []
    attend = torch.nn.functional.scaled_dot_product_attention

    def watched(*args: Any, attn_mask: Any = None, is_causal: bool = False, **more: Any) -> Tensor:
        seen.append((attn_mask is None, is_causal))
        return attend(*args, attn_mask=attn_mask, is_causal=is_causal, **more)

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", watched)
    ids = torch.randint(5, 200, (2, 8))
    for segments in (torch.ones_like(ids), torch.tensor([[1] * 8, [1] * 5 + [0] * 3])):
        read(llm, ids, segments)
    assert set(seen) == {(True, True)}


@pytest.mark.parametrize("family", ["llama", "mistral", "gemma2", "gpt2", "bloom", "opt"])
def test_a_cache_that_is_cut_goes_on_where_it_was_cut(tokenizer_folder: Path, family: str) -> None:
    """Far beyond a sliding window of 4, in steps of several and of one position."""
    llm = built(tokenizer_folder, family)
    ids = torch.randint(5, 200, (2, 14))
    whole = read(llm, ids).hidden

    def go_on(cache: Any, start: int, end: int) -> Tensor:
        segments = torch.ones(len(ids), cache.length + end - start, dtype=torch.long)
        positions = torch.arange(start, end).expand(len(ids), -1)
        hidden: Tensor = llm(LLMInputs(ids[:, start:end], positions, segments, cache=cache)).hidden
        return hidden

    with torch.no_grad():
        cache = read(llm, ids[:, :9], keep_cache=True).cache
        assert cache is not None
        go_on(cache, 9, 13)
        cache.crop(8)
        steps = torch.cat([go_on(cache, 8, 9), go_on(cache, 9, 10), go_on(cache, 10, 14)], 1)
    torch.testing.assert_close(steps, whole[:, 8:], atol=1e-4, rtol=1e-4)
    with pytest.raises(ValueError, match="the cache has 14 positions, not 15"):
        cache.crop(15)


def test_positions_end_with_the_table(tokenizer_folder: Path) -> None:
    assert built(tokenizer_folder, "gpt2").max_positions == 64
    assert built(tokenizer_folder, "llama").max_positions == 64
    assert built(tokenizer_folder, "mpt").max_positions == 64
    assert built(tokenizer_folder, "bloom").max_positions is None
    llm = built(tokenizer_folder, "gpt2")
    long, short = torch.randint(5, 200, (1, 60)), torch.randint(5, 200, (1, 10))
    segments = torch.tensor([[1] * 60 + [2] * 10 + [0] * 80])  # padding would count beyond the table
    row = torch.cat([long, short, torch.zeros(1, 80, dtype=torch.long)], 1)
    packed = read(llm, row, segments).hidden
    torch.testing.assert_close(packed[:, 60:70], read(llm, short).hidden, atol=1e-4, rtol=1e-4)


def test_half_a_batch_of_added_tokens_breaks_no_graph(tokenizer_folder: Path) -> None:
    llm = built(tokenizer_folder, "llama", attention="sdpa")
    [new] = llm.add_tokens(["<new>"])
    ids, segments = torch.tensor([[5, 6, new, 8], [9, new, 7, 3]]), torch.tensor([[1, 1, 2, 2], [1, 1, 1, 0]])
    vectors = {"rows": torch.tensor([1]), "positions": torch.tensor([2]), "vectors": torch.randn(1, 32)}
    x = LLMInputs(
        ids, torch.tensor([[0, 1, 0, 1], [0, 1, 2, 0]]), segments, logits_at=torch.tensor([[0, 1]]), **vectors
    )
    explained = torch._dynamo.explain(llm)(x)
    torch._dynamo.reset()
    assert explained.graph_break_count == 0
    assert explained.graph_count == 1


def _sharded(rank: int, port: int, tokenizer: str, how: str) -> None:
    import torch.distributed as dist
    from torch.distributed.fsdp import fully_shard
    from torch.nn.parallel import DistributedDataParallel

    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    dist.init_process_group("gloo", rank=rank, world_size=2, timeout=timedelta(seconds=120))
    try:
        plain, other = (built(Path(tokenizer), "llama", attention="sdpa") for _ in range(2))
        for llm in (plain, other):
            torch.manual_seed(3)
            llm.add_tokens(["<a>", "</a>"])
        if how == "ddp":
            whole: Any = DistributedDataParallel(other)
        else:
            for layer in other.lm.model.layers:
                fully_shard(layer)
            fully_shard(other.lm.get_input_embeddings())
            whole = fully_shard(other)
        ids = torch.tensor([[5, 6, plain.vocab_size, 8, 9], [5, plain.vocab_size + 1, 7, 8, 0]])
        x = LLMInputs(
            ids,
            torch.tensor([[0, 1, 2, 0, 1], [0, 1, 2, 3, 0]]),
            torch.tensor([[1, 1, 1, 2, 2], [1, 1, 1, 1, 0]]),
            rows=torch.tensor([0]),
            positions=torch.tensor([1]),
            vectors=torch.ones(1, 32),
            logits_at=torch.tensor([[0, 1], [1, 3]]),
        )
        outputs = [llm(x) for llm in (plain, whole)]
        torch.testing.assert_close(outputs[1].hidden, outputs[0].hidden)
        torch.testing.assert_close(outputs[1].logits, outputs[0].logits)
        for output in outputs:
            (output.logits.logsumexp(-1).sum() + output.hidden.square().mean()).backward()
        for (name, one), two in zip(plain.named_parameters(), other.parameters()):
            found: Any = two.grad
            found = found.full_tensor() if hasattr(found, "full_tensor") else found
            torch.testing.assert_close(found, one.grad, msg=lambda m, n=name: f"{n}: {m}")
        dist.barrier()
    finally:
        dist.destroy_process_group()


@pytest.mark.slow
@pytest.mark.ddp
@pytest.mark.parametrize("how", ["ddp", "layers"])
def test_two_processes_give_what_one_gives(tokenizer_folder: Path, how: str) -> None:
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    torch.multiprocessing.spawn(_sharded, (port, str(tokenizer_folder), how), nprocs=2)
