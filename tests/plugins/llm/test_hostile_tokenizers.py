"""Tokenizers and chat templates of strangers: bounded in time and memory, and one declared error each."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from anyloom import Message
from anyloom.errors import AnyloomError, CheckpointError, ConversationError
from anyloom.limits import VARIABLE
from anyloom_llama.config import CausalLMConfig
from anyloom_llama.loading import read_tokenizer
from anyloom_llama.tokenizer import ChatTokenizer
from faults.rows import in_child
from parts import save_tokenizer

PLAIN = "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}{{ eos_token }}{% endfor %}"
TEMPLATES = {
    "loops": "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
    "loops over lists": "{% set r = range(99999) | list %}{% for i in r %}{% for j in r %}{% endfor %}{% endfor %}",
    "macros": "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}",
    "repeats": "{{ 'a' * 10000000000 }}",
    "powers": "{{ 9 ** 9999999 }}",
    "widths": "{{ '%999999999d' % 1 }}",
    "widths of format": "{{ '{:>999999999}'.format(1) }}",
    "doubled texts": "{% set n = namespace(a='aaaa') %}{% for i in range(60) %}{% set n.a = n.a ~ n.a %}{% endfor %}",
    "added texts": "{% set n = namespace(a='aaaa') %}{% for i in range(60) %}{% set n.a = n.a + n.a %}{% endfor %}",
    "doubled lists": "{% set n = namespace(a=1) %}"
    "{% for i in range(30) %}{% set n.a = [n.a] * 2 %}{% endfor %}{{ n.a }}",
    "methods": "{{ 'a'.center(10000000000) }}",
    "replacing": "{% set x = 'a' * 900000 %}{{ x.replace('a', x) }}",
    "joining": "{% set x = 'a' * 900000 %}{{ x | join(x) }}",
    "indents": "{{ ('a\\n' * 100000) | indent(100000) }}",
    "wraps": "{{ ('a ' * 5000000) | wordwrap(1) }}",
    "blocks": "{% set x = 'a' * 9000000 %}{% set y %}{% for i in range(9999) %}{{ x }}{% endfor %}{% endset %}",
    "nesting": "{{ " + "(" * 20000 + "1" + ")" * 20000 + " }}",
    "itself": "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    "words": "{{ lipsum(n=1000000) }}",
    "objects": "{{ ().__class__.__mro__ }}",
    "files": "{% include '/etc/passwd' %}",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tokenizer(tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture(scope="module")
def backend(folder: Path) -> Any:
    return AutoTokenizer.from_pretrained(folder, local_files_only=True)


@pytest.mark.parametrize("how", TEMPLATES)
def test_a_template_that_takes_all_time_or_memory(backend: Any, how: str) -> None:
    begun = time.process_time()
    with pytest.raises(ConversationError, match="the chat template refuses"):
        ChatTokenizer(backend, TEMPLATES[how] + PLAIN)
    assert time.process_time() - begun < 30  # without limits: hours, or more memory than there is


def test_the_limits_of_templates_are_options(backend: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    rounds = "{% for i in range(7000) %}{{ i * 0 }}{% endfor %}"
    monkeypatch.setenv(VARIABLE, "template-steps=5000")
    with pytest.raises(ConversationError, match="more than 5,000 steps"):
        ChatTokenizer(backend, rounds + PLAIN)
    monkeypatch.setenv(VARIABLE, "template-characters=5000")
    with pytest.raises(ConversationError, match="more than 5,000 characters"):
        ChatTokenizer(backend, rounds + PLAIN)
    monkeypatch.delenv(VARIABLE)
    ChatTokenizer(backend, rounds + PLAIN)


def test_templates_of_some_size_pass(backend: Any) -> None:
    """Forty turns of two hundred words, and what published templates compute with."""
    source = (
        "{% set n = namespace(first=true) %}{%- for m in messages -%}{{ '<|' + m['role'] ~ '|>' }}"
        "{{ m['content'] }}{% if m.content | length % 2 == 0 or n.first %}{% set n.first = false %}{% endif %}"
        "{{ eos_token * 1 }}{%- endfor -%}"
    )
    turns = [Message(("user", "assistant")[n % 2], "hello there " * 100) for n in range(40)]  # type: ignore[arg-type]
    mine = "".join(piece_text(backend, piece.ids) for piece in ChatTokenizer(backend, source).render(turns))
    asked = [{"role": m.role, "content": m.text} for m in turns]
    assert mine == backend.decode(
        backend(backend.apply_chat_template(asked, chat_template=source, tokenize=False), add_special_tokens=False)[
            "input_ids"
        ]
    )


def piece_text(backend: Any, ids: Any) -> str:
    return str(backend.decode(list(ids)))


def split(pattern: str) -> Callable[[dict[str, Any]], None]:
    def change(value: dict[str, Any]) -> None:
        parts = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
        value["pre_tokenizer"] = parts

    return change


def replacing(value: dict[str, Any]) -> None:
    step = {"type": "Replace", "pattern": {"String": "a"}, "content": "a" * 1000}
    value["normalizer"] = {"type": "Sequence", "normalizers": [step] * 4}


TOKENIZERS: dict[str, tuple[str, Callable[[dict[str, Any]], None]]] = {
    "a pattern that goes back for ever": ("tokenizer.json", split("(a+)+$")),
    "another one": ("tokenizer.json", split("(.*a){20}$")),
    "texts a thousand times as long": ("tokenizer.json", replacing),
    "a length that is none": ("tokenizer_config.json", lambda v: v.update(model_max_length="x")),
}


def changed(folder: Path, copy: Path, name: str, change: Callable[[dict[str, Any]], None]) -> None:
    for file in folder.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    value = json.loads((copy / name).read_text())
    change(value)
    (copy / name).write_text(json.dumps(value))


def read_from(folder: Path) -> Any:
    return read_tokenizer(CausalLMConfig(architecture={"model_type": "llama"}, tokenizer=str(folder)))


def test_how_much_longer_a_text_may_become_is_an_option(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tripled = {"type": "Replace", "pattern": {"String": "a"}, "content": "aaa"}
    changed(folder, tmp_path, "tokenizer.json", lambda value: value.update(normalizer=tripled))
    assert read_from(tmp_path).decode(read_from(tmp_path).encode("a")) == "aaa"
    monkeypatch.setenv(VARIABLE, "tokenizer-growth=2")
    with pytest.raises(CheckpointError, match="up to 3 times as long"):
        read_from(tmp_path)


@pytest.mark.parametrize("how", TOKENIZERS)
def test_a_tokenizer_that_takes_all_time_or_memory(folder: Path, tmp_path: Path, how: str) -> None:
    changed(folder, tmp_path, *TOKENIZERS[how])

    def read() -> None:
        read_from(tmp_path).encode("a" * 2000 + "!")

    error, grown = in_child(read)
    assert isinstance(error, ConversationError | CheckpointError), error
    assert isinstance(error, AnyloomError)
    assert grown < 500
