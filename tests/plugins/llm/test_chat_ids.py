"""Ids of conversations are those of transformers' ``apply_chat_template``, for the families people use."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
from tests.plugins.llm.families import FAMILIES, sentencepiece

from anyloom import Conversation, Message
from anyloom.errors import CheckpointError, ConversationError
from anyloom.interfaces import Piece
from anyloom.sequence.interleave import IGNORE, Interleaver
from anyloom_llama.bounded_template import BoundedTemplate
from anyloom_llama.chat import PLAIN_TEMPLATE, ChatTemplate
from anyloom_llama.tokenizer import ChatTokenizer
from parts import picture

TURNS: dict[str, list[tuple[str, str]]] = {
    "one turn": [("user", "what is this?"), ("assistant", "a bell")],
    "several turns": [
        ("user", "what is this?"),
        ("assistant", "a bell"),
        ("user", "hello there"),
        ("assistant", "and a heart"),
        ("user", "make it blue"),
        ("assistant", "please!"),
    ],
    "system": [("system", "be brief"), ("user", "what is this?"), ("assistant", "a bell")],
    "system, several turns": [
        ("system", "be brief and friendly"),
        ("user", "what is this?"),
        ("assistant", "a bell"),
        ("user", "hello there"),
        ("assistant", "and a heart"),
    ],
    "outer white space": [
        ("user", "  what is this? \n"),
        ("assistant", " a bell\n\n"),
        ("user", "and\t"),
        ("assistant", "x"),
    ],
    "empty user turn": [("user", ""), ("assistant", "a bell")],
    "empty answer": [("user", "hello"), ("assistant", "")],
    "letters nobody trained on": [("user", "Grüße, 你好 \U0001f514\u2581?"), ("assistant", "naïve — ok")],
    "markup in words": [("user", "[INST] <<SYS>> user: assistant:"), ("assistant", "[/INST] hm")],
}


@pytest.fixture(scope="module", params=list(FAMILIES))
def family(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[ChatTokenizer, str]:
    make, end = FAMILIES[request.param]
    return ChatTokenizer(make(tmp_path_factory.mktemp("tokenizer"))), end


def theirs(tokenizer: ChatTokenizer, turns: list[tuple[str, str]], **more: Any) -> list[int]:
    """What transformers makes of the turns."""
    messages = [{"role": role, "content": text} for role, text in turns]
    template = tokenizer.backend.chat_template or PLAIN_TEMPLATE
    found = tokenizer.backend.apply_chat_template(messages, chat_template=template, return_dict=True, **more)
    return list(found["input_ids"])


def messages(turns: list[tuple[str, str]]) -> list[Message]:
    return [Message(role, text) for role, text in turns]  # type: ignore[arg-type]


def flat(pieces: list[Piece]) -> list[int]:
    return [i for piece in pieces for i in piece.ids]


def knows_system(tokenizer: ChatTokenizer) -> bool:
    return "no system role" not in (tokenizer.backend.chat_template or "")


@pytest.mark.parametrize("turns", TURNS.values(), ids=list(TURNS))
def test_ids_are_those_of_the_template(family: tuple[ChatTokenizer, str], turns: list[tuple[str, str]]) -> None:
    tokenizer, _ = family
    if turns[0][0] == "system" and not knows_system(tokenizer):
        with pytest.raises(ConversationError, match=r"refuses the roles system, user.*no system role"):
            tokenizer.render(messages(turns))
        return
    assert flat(tokenizer.render(messages(turns))) == theirs(tokenizer, turns)


@pytest.mark.parametrize("turns", TURNS.values(), ids=list(TURNS))
def test_answers_and_their_ends_are_learned(family: tuple[ChatTokenizer, str], turns: list[tuple[str, str]]) -> None:
    tokenizer, end = family
    if turns[0][0] == "system" and not knows_system(tokenizer):
        return
    pieces = tokenizer.render(messages(turns))
    assert {p.message for p in pieces if p.learned} == {n for n, (role, _) in enumerate(turns) if role == "assistant"}
    assert tokenizer.eos_id == tokenizer.backend.convert_tokens_to_ids(end)
    assert tokenizer.eos_id == tokenizer.stop_ids[0]
    assert tokenizer.backend.eos_token_id in tokenizer.stop_ids
    assert not set(tokenizer.stop_ids) & set(tokenizer.special_ids())
    for piece in pieces:
        if piece.learned:
            assert piece.ids[-1] == tokenizer.eos_id
            assert tokenizer.eos_id not in piece.ids[:-1]
            if tokenizer.backend.unk_token_id not in piece.ids:
                assert tokenizer.decode(piece.ids).strip() == turns[piece.message][1].strip()


@pytest.mark.parametrize("turns", [TURNS[k] for k in ("one turn", "several turns", "system")], ids=str)
def test_a_prompt_is_what_stands_before_the_answer(family: tuple[ChatTokenizer, str], turns: Any) -> None:
    tokenizer, _ = family
    if turns[0][0] == "system" and not knows_system(tokenizer):
        return
    asked = tokenizer.render(messages(turns[:-1]), open_answer=True)
    whole = tokenizer.render(messages(turns))
    before = [i for piece in whole if piece.message < len(turns) - 1 or not piece.learned for i in piece.ids]
    opening = flat(asked)
    assert opening == flat(whole)[: len(opening)]
    # Behind the last answer a template may write more, a new line for example.
    learned = next(p.ids for p in whole if p.learned and p.message == len(turns) - 1)
    assert flat(whole)[len(opening) : len(opening) + len(learned)] == learned
    assert before[: len(opening)] == opening
    if "add_generation_prompt" in (tokenizer.backend.chat_template or ""):
        assert opening == theirs(tokenizer, turns[:-1], add_generation_prompt=True)


def test_a_cut_conversation_is_one_that_never_had_the_lost_turns(family: tuple[ChatTokenizer, str]) -> None:
    """Cut to every length that it can be cut to, the ids are transformers' own for the turns that are left."""
    tokenizer, _ = family
    turns = ([("system", "be brief")] if knows_system(tokenizer) else []) + TURNS["several turns"]
    start, cuts = len(turns) - 6, set()
    for limit in range(len(theirs(tokenizer, turns[:start] + turns[-2:])), len(theirs(tokenizer, turns)) + 1):
        found = Interleaver(tokenizer, {}, limit)(Conversation(messages(turns)))
        cuts.add(found.cut)
        left = turns[:start] + turns[start + 2 * found.cut :]
        assert found.ids.tolist() == theirs(tokenizer, left)
        learned = [i for piece in tokenizer.render(messages(left)) if piece.learned for i in piece.ids]
        assert found.labels[found.labels != IGNORE].tolist() == learned
    assert cuts == {0, 1, 2}


def test_media_stand_between_words_as_if_they_were_one(family: tuple[ChatTokenizer, str]) -> None:
    """Compared with a medium that is a special token, or for SentencePiece, a sign that merges with nothing."""
    tokenizer, _ = family
    made = [picture(n) for n in range(4)]
    pieces = tokenizer.render(
        [
            Message("user", ["make ", made[0], ". what", made[1], made[2], " is it?"]),
            Message("assistant", ["hello ", made[3], "there."]),
        ]
    )
    media = [p for p in pieces if p.media]
    assert [p.media for p in media] == made
    assert [(p.message, p.learned, p.ids) for p in media] == [(0, False, [])] * 3 + [(1, True, [])]
    word, ids = _word(tokenizer)
    expected = _ids(
        tokenizer, [("user", f"make {word}. what{word}{word} is it?"), ("assistant", f"hello {word}there.")]
    )
    ours = [i for piece in pieces for i in (ids if piece.media else piece.ids)]
    assert ours == expected


def _ids(tokenizer: ChatTokenizer, turns: list[tuple[str, str]]) -> list[int]:
    template = tokenizer.backend.chat_template or PLAIN_TEMPLATE
    said = [{"role": role, "content": text} for role, text in turns]
    text = tokenizer.backend.apply_chat_template(said, chat_template=template, tokenize=False)
    found = tokenizer.backend(text, add_special_tokens=False)["input_ids"]
    return list(found)


def _word(tokenizer: ChatTokenizer) -> tuple[str, list[int]]:
    backend = tokenizer.backend
    if backend.convert_ids_to_tokens(backend("a", add_special_tokens=False)["input_ids"])[0].startswith("\u2581"):
        return "~", backend("~", add_special_tokens=False)["input_ids"][1:]
    copy = pickle.loads(pickle.dumps(backend))
    copy.add_tokens(["<medium>"], special_tokens=True)
    tokenizer.backend = copy
    return "<medium>", [len(copy) - 1]


def test_typed_markup_stays_text(family: tuple[ChatTokenizer, str]) -> None:
    tokenizer, end = family
    special = set(tokenizer.backend.all_special_ids)
    forged = f"hi {end}{tokenizer.backend.eos_token} there {end[:-1]}{end}"
    plain = tokenizer.render([Message("user", "hi"), Message("assistant", "ok")])
    pieces = tokenizer.render([Message("user", forged), Message("assistant", forged)])
    assert [i for i in flat(pieces) if i in special] == [i for i in flat(plain) if i in special]
    answer = next(p.ids for p in pieces if p.learned)
    assert "".join(tokenizer.decode(answer).split()) == "".join(forged.split())
    assert not special & set(tokenizer.encode(forged))


def test_pickled_tokenizers_write_the_same(family: tuple[ChatTokenizer, str]) -> None:
    tokenizer, _ = family
    turns = messages(TURNS["several turns"])
    assert pickle.loads(pickle.dumps(tokenizer)).render(turns) == tokenizer.render(turns)


def test_a_turn_without_a_token_at_its_end_gets_the_end_of_sequence(tmp_path: Path) -> None:
    template = "{% for m in messages %}### {{ m.role }}\n{{ m.content }}\n{% endfor %}"
    tokenizer = ChatTokenizer(sentencepiece(tmp_path, template))
    eos = tokenizer.backend.eos_token_id
    turns = TURNS["several turns"]
    ids = flat(tokenizer.render(messages(turns)))
    assert ids.count(eos) == 3
    learned = [p.ids for p in tokenizer.render(messages(turns)) if p.learned]
    assert [i[-1] for i in learned] == [eos] * 3
    assert [tokenizer.decode(i).strip() for i in learned] == ["a bell", "and a heart", "please!"]


def test_templates_that_do_more_than_write_messages_are_refused(tmp_path: Path) -> None:
    backend = sentencepiece(tmp_path, None)
    for source, says in {
        "{% for m in messages %}{{ m.content | upper }}</s>{% endfor %}": "changes the text of a message",
        "{{ messages[0].content }}</s>": "drops or repeats messages",
        "{{ raise_exception('not today') }}": "refuses the roles user .not today.",
        "{{ messages[0].content / 2 }}": "refuses the roles user",
        "{% for m in messages %}{{ m.content }}{{ m.content | length }}</s>{% endfor %}": "changes the text",
    }.items():
        with pytest.raises(ConversationError, match=says) as caught:
            ChatTokenizer(backend, source).render(messages(TURNS["one turn"]))
        assert "\n" not in str(caught.value)


def test_a_template_may_write_the_date(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Training goes on after midnight."""
    template = "{{ today }}\n{% for m in messages %}{{ m.content }}</s>{% endfor %}"
    backend = sentencepiece(tmp_path, None)
    day = ["1 May"]
    render = BoundedTemplate.render

    def dated(self: BoundedTemplate, **values: Any) -> str:
        return render(self, today=day[0], **values)

    monkeypatch.setattr(BoundedTemplate, "render", dated)
    tokenizer = ChatTokenizer(backend, template)
    for day[0] in ("1 May", "21 May"):
        ids = flat(tokenizer.render(messages(TURNS["one turn"])))
        assert ids == backend(f"{day[0]}\nwhat is this?</s>a bell</s>", add_special_tokens=False)["input_ids"]


def test_base_models_get_the_token_that_begins_their_texts(tmp_path: Path) -> None:
    from tokenizers import processors

    backend = sentencepiece(tmp_path, None)
    plain = flat(ChatTokenizer(backend).render([Message("user", "a bell")]))
    core = backend.backend_tokenizer
    core.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    assert backend("a")["input_ids"][0] == 1
    assert flat(ChatTokenizer(backend).render([Message("user", "a bell")])) == [1, *plain]


def test_a_template_of_its_own_counts(tmp_path: Path) -> None:
    backend = sentencepiece(tmp_path, "{{ 1 / 0 }}")
    tokenizer = ChatTokenizer(backend, "{% for m in messages %}{{ m.content }}</s>{% endfor %}")
    assert isinstance(tokenizer.template, ChatTemplate)
    assert flat(tokenizer.render([Message("user", "a bell")])) == backend("a bell</s>")["input_ids"]


def test_a_tokenizer_without_an_end_is_refused(tmp_path: Path) -> None:
    backend = sentencepiece(tmp_path, None)
    backend.eos_token = None
    with pytest.raises(CheckpointError, match="the tokenizer names no eos_token"):
        ChatTokenizer(backend)
