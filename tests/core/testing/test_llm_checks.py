"""Each check of language models catches the defect it is there for."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.core.testing.conftest import failed
from tests.core.testing.llms import BROKEN

from anyloom.testing import LLMCase
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
