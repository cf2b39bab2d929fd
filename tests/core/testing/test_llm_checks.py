"""Each check of language models catches the defect it is there for."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.core.testing.conftest import failed
from tests.core.testing.llms import BROKEN

from anyloom.testing import LLMCase, check_component
from anyloom_llama.llm import CausalLM
from parts import llm_options


def case(cls: type[CausalLM], tokenizer: Path) -> LLMCase:
    options = llm_options(tokenizer)
    del options["name"]
    options["architecture"]["num_hidden_layers"] = 1
    return LLMCase(f"{cls.__module__}.{cls.__name__}", options=options)


@pytest.mark.parametrize("cls", BROKEN, ids=lambda c: c.__name__)
def test_a_defect_fails_its_own_checks_alone(cls: type[CausalLM], tokenizer_folder: Path) -> None:
    assert failed(case(cls, tokenizer_folder)) == BROKEN[cls]


def test_a_model_may_refuse_to_pack(tokenizer_folder: Path) -> None:
    options = {
        "architecture": {"model_type": "bloom", "hidden_size": 32, "n_layer": 1, "n_head": 4},
        "tokenizer": str(tokenizer_folder),
        "attention": "eager",
    }
    results = check_component(LLMCase("causal-lm", options=options))
    assert [r.check.name for r in results if r.verdict == "skipped"] == ["packed_samples_are_kept_apart"]
    assert not [r for r in results if r.verdict == "failed"]
