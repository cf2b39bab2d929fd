"""Checks of language models: a tokenizer and a causal model of embeddings."""

from __future__ import annotations

import pickle
import unittest
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from anyloom.conversation.segments import Media, Message, Role
from anyloom.errors import AnyloomError
from anyloom.interfaces import LLMInputs, LLMOutput, Piece
from anyloom.testing.case import LLMCase
from anyloom.testing.checking import check, require
from anyloom.testing.neural import NeuralChecks, close

__all__ = ["LLMChecks"]

_LENGTH = 6
_TAGS = ("<kit>", "</kit>")


class LLMChecks(NeuralChecks):
    """Inherit and supply the fixture ``case``, an :class:`anyloom.testing.LLMCase`."""

    def embeddings(self, case: LLMCase, part: Any, rows: int = 2, seed: int = 2) -> Tensor:
        """Embeddings ``(rows, 6, H)``."""
        device = next((t.device for t in (*part.parameters(), *part.buffers())), torch.device("cpu"))
        drawn = torch.randn(rows, _LENGTH, part.hidden_size, generator=torch.Generator().manual_seed(seed))
        return drawn.to(device)

    def read(self, part: Any, x: Tensor, segments: Tensor | None = None, start: int = 0, **more: Any) -> LLMOutput:
        """One pass over vectors ``(B, S, H)`` placed at every position.

        Args:
            part: The model.
            x: The vectors.
            segments: ``(B, P + S)``; by default one sample in each row.
            start: P, where there is a cache.
            more: Other fields of :class:`anyloom.interfaces.LLMInputs`.
        """
        rows, length = x.shape[:2]
        if segments is None:
            segments = torch.ones(rows, start + length, dtype=torch.long)
        segments = segments.to(x.device)
        where = torch.ones(rows, length, dtype=torch.bool).nonzero().to(x.device)
        output: LLMOutput = part(
            LLMInputs(
                ids=torch.zeros(rows, length, dtype=torch.long, device=x.device),
                position_ids=_positions(segments)[:, start:],
                segments=segments,
                rows=where[:, 0],
                positions=where[:, 1],
                vectors=x.flatten(0, 1),
                **more,
            )
        )
        return output

    def read_ids(self, part: Any, ids: Tensor, **more: Any) -> LLMOutput:
        """One pass over token ids ``(B, S)``."""
        positions = torch.arange(ids.shape[1]).expand_as(ids)
        output: LLMOutput = part(LLMInputs(ids, positions, torch.ones_like(ids), **more))
        return output

    def outputs(self, case: LLMCase, part: Any) -> dict[str, Tensor]:
        """Hidden states and scores."""
        x = self.embeddings(case, part)
        output = self.read(part, x, logits_at=_everywhere(x))
        require(output.logits is not None, "with logits_at no logits are returned")
        assert output.logits is not None
        return {"hidden": output.hidden, "logits": output.logits}

    @check("return hidden states (B, S, H) after the final norm, and at logits_at scores over all ids")
    def test_hidden_states_and_scores_have_their_shapes(self, case: LLMCase) -> None:
        """Hidden states are (B, S, H); scores are (K, V), added tokens included, and None where none are wanted."""
        part = self.made(case)
        ids = part.add_tokens(_TAGS)
        x = self.embeddings(case, part)
        output = self.read(part, x, logits_at=torch.tensor([[1, 0], [0, 3], [1, 5]]))
        require(output.hidden.shape == x.shape, f"hidden states are {tuple(output.hidden.shape)}")
        width = None if output.logits is None else tuple(output.logits.shape)
        require(width == (3, max(ids) + 1), f"three scores are {width}, the last id is {max(ids)}")
        require(self.read(part, x).logits is None, "there are logits where none were wanted")

    @check("take the scores of row and position in logits_at, in this order")
    def test_scores_are_those_of_their_positions(self, case: LLMCase) -> None:
        """Scores stand in the order of `logits_at`, each of its row and position."""
        part = self.shaken(case)
        x = self.embeddings(case, part)
        everywhere = self.read(part, x, logits_at=_everywhere(x)).logits
        two = self.read(part, x, logits_at=torch.tensor([[1, 2], [0, 4]])).logits
        assert everywhere is not None
        assert two is not None
        require(close(two, everywhere[[_LENGTH + 2, 4]]), "scores at two places are not those of all places")

    @check("apply a causal mask also where vectors are placed instead of tokens; no masked language model is causal")
    def test_is_causal(self, case: LLMCase) -> None:
        """No position sees a later one."""
        part = self.shaken(case)
        x = self.embeddings(case, part)
        changed = x.clone()
        changed[:, -1] = x[:, -1].flip(-1)  # not a constant more, which a LayerNorm takes away
        before, after = self.read(part, x).hidden, self.read(part, changed).hidden
        require(close(before[:, :-1], after[:, :-1]), "earlier hidden states change with the last embedding")
        require(not close(before[:, -1], after[:, -1]), "the last hidden state does not change with its embedding")

    @check("put vectors at (rows, positions) in place of the tokens' embeddings, without scaling of their own")
    def test_vectors_stand_where_they_are_placed(self, case: LLMCase) -> None:
        """Placed vectors replace the tokens at their places and leave the others alone."""
        part = self.shaken(case)
        ids = torch.tensor([part.tokenizer.encode(case.words)[:4]] * 2)
        vectors = self.embeddings(case, part)[0, :2]
        where = {"rows": torch.tensor([1, 0]), "positions": torch.tensor([2, 1]), "vectors": vectors}
        placed, plain = self.read_ids(part, ids, **where).hidden, self.read_ids(part, ids).hidden
        require(close(placed[0, :1], plain[0, :1]) and close(placed[1, :2], plain[1, :2]), "tokens before them change")
        moved = not close(placed[0, 1], plain[0, 1]) and not close(placed[1, 2], plain[1, 2])
        require(moved, "hidden states at their places do not change")
        other = {**where, "vectors": vectors.flip(0)}
        require(not close(self.read_ids(part, ids, **other).hidden, placed), "it does not matter which vector is where")

    @check("hand segments and position_ids on to the attention layers")
    def test_masked_positions_are_not_read(self, case: LLMCase) -> None:
        """What stands where `segments` is 0 changes nothing, on the left and on the right."""
        part = self.shaken(case)
        x = self.embeddings(case, part)
        alone = self.read(part, x).hidden
        noise = torch.randn(2, 2, part.hidden_size, generator=torch.Generator().manual_seed(4)).to(x)
        ones, zeros = torch.ones(2, _LENGTH, dtype=torch.long), torch.zeros(2, 2, dtype=torch.long)
        for keep_cache in (False, True):
            left = self.read(part, torch.cat([noise, x], 1), torch.cat([zeros, ones], 1), keep_cache=keep_cache).hidden
            require(close(left[:, 2:], alone), "hidden states change with padding on the left")
            right = self.read(part, torch.cat([x, noise], 1), torch.cat([ones, zeros], 1), keep_cache=keep_cache).hidden
            require(close(right[:, :_LENGTH], alone), "hidden states change with padding on the right")

    @check("let positions read their own segment alone, or raise an AnyloomError where segments go above 1")
    def test_packed_samples_are_kept_apart(self, case: LLMCase) -> None:
        """Samples that share a row are computed as if alone, bit-equal whatever the other one is."""
        part = self.shaken(case)
        first, second = self.embeddings(case, part, rows=1), self.embeddings(case, part, rows=1, seed=5)[:, :4]
        segments = torch.tensor([[1] * _LENGTH + [2] * 4 + [0]])
        filler = torch.zeros_like(first[:, :1])
        try:
            packed = self.read(part, torch.cat([first, second, filler], 1), segments).hidden
        except AnyloomError as error:
            raise unittest.SkipTest(f"it refuses several samples in one row ({error})") from error
        alone = torch.cat([self.read(part, first).hidden, self.read(part, second).hidden], 1)
        require(close(packed[:, :-1], alone), "packed samples differ from the same samples alone")
        other = self.read(part, torch.cat([first.flip(-1), second, filler], 1), segments).hidden
        same = torch.equal(other[:, _LENGTH:-1], packed[:, _LENGTH:-1])
        require(same, "a sample changes with the one that is packed before it")
        other = self.read(part, torch.cat([first, second.flip(-1), filler], 1), segments).hidden
        same = torch.equal(other[:, :_LENGTH], packed[:, :_LENGTH])
        require(same, "a sample changes with the one that is packed behind it")

    @check("extend the cache that is given in place, and read segments as (B, P + S)")
    def test_cache_equals_one_pass(self, case: LLMCase) -> None:
        """Reading a sequence in two calls with the cache gives what one call gives, and its length is counted."""
        part = self.shaken(case)
        x = self.embeddings(case, part)
        first = self.read(part, x[:, :4], keep_cache=True)
        require(first.cache is not None, "with keep_cache no cache is returned")
        assert first.cache is not None
        require(first.cache.length == 4, f"after 4 positions the cache says {first.cache.length}")
        second = self.read(part, x[:, 4:], start=4, cache=first.cache, keep_cache=True).hidden
        require(close(torch.cat([first.hidden, second], 1), self.read(part, x).hidden), "two calls differ from one")

    @check("cut keys and values in crop, trim and select; select leaves the cache it is taken from as it is")
    def test_caches_are_cut(self, case: LLMCase) -> None:
        """A cache that is cropped, trimmed or selected from goes on like one that never held the rest."""
        part = self.shaken(case)
        x = self.embeddings(case, part, rows=3)
        whole = self.read(part, x).hidden[:, 4:]
        noise = x.flip(-1)

        cache = self.read(part, torch.cat([x[:, :4], noise[:, :2]], 1), keep_cache=True).cache
        require(cache is not None, "with keep_cache no cache is returned")
        assert cache is not None
        cache.crop(4)
        chosen = cache.select(torch.tensor([2, 0]))
        cropped = self.read(part, x[:, 4:], start=4, cache=cache, keep_cache=True).hidden
        require(close(cropped, whole), "a cropped cache does not go on from where it was cropped")
        selected = self.read(part, x[[2, 0], 4:], start=4, cache=chosen, keep_cache=True).hidden
        require(close(selected, whole[[2, 0]]), "rows that were selected do not go on like the rows they came from")

        padded = torch.cat([torch.zeros(3, 2, dtype=torch.long), torch.ones(3, 4, dtype=torch.long)], 1)
        cache = self.read(part, torch.cat([noise[:, :2], x[:, :4]], 1), padded, keep_cache=True).cache
        assert cache is not None
        cache.trim(2)
        trimmed = self.read(part, x[:, 4:], start=4, cache=cache, keep_cache=True).hidden
        require(close(trimmed, whole), "a trimmed cache does not go on like one without the padding")

    @check("pad shorter caches on the left in join, in the order they are given")
    def test_caches_are_joined(self, case: LLMCase) -> None:
        """Caches of different lengths go on together as they would alone."""
        part = self.shaken(case)
        x = self.embeddings(case, part)
        long, short = (self.read(part, x[[i], :n], keep_cache=True).cache for i, n in ((0, 5), (1, 3)))
        require(long is not None and short is not None, "with keep_cache no cache is returned")
        both = part.join([long, short])
        require(both.length == 5, f"caches of 5 and 3 positions make one of {both.length}")
        new = torch.stack([x[0, 5:], x[1, 3:4]])
        segments = torch.tensor([[1] * 6, [0, 0, 1, 1, 1, 1]])
        together = self.read(part, new, segments, start=5, cache=both, keep_cache=True).hidden
        expected = torch.stack([self.read(part, x[:1]).hidden[0, 5:], self.read(part, x[1:]).hidden[0, 3:4]])
        require(close(together, expected), "joined caches do not go on as each would alone")

    @check("keep rows apart")
    def test_batch_equals_singles(self, case: LLMCase) -> None:
        """A row's hidden states do not depend on the other rows."""
        part = self.shaken(case)
        x = self.embeddings(case, part, rows=3)
        alone = torch.cat([self.read(part, row[None]).hidden for row in x])
        require(close(self.read(part, x).hidden, alone), "hidden states change with the batch")

    @check("keep the rows of added tokens apart from the old tables; number them after the old vocabulary")
    def test_added_tokens_leave_the_old_ones_alone(self, case: LLMCase) -> None:
        """Added tokens get new ids and rows; what the model makes of old tokens stays as it was."""
        part = self.made(case)
        old = torch.tensor([part.tokenizer.encode(case.words)[:5]])
        at = torch.tensor([[0, 4], [0, 2]])
        before = self.read_ids(part, old, logits_at=at)
        ids = part.add_tokens(_TAGS)
        after = self.read_ids(part, old, logits_at=at)
        assert before.logits is not None
        assert after.logits is not None
        size = before.logits.shape[-1]
        require(len(set(ids)) == len(_TAGS), f"two tokens get the ids {ids}")
        require(min(ids) >= size, f"the new ids {ids} are among the old {size}")
        require(torch.equal(before.hidden, after.hidden), "hidden states of old tokens move when tokens are added")
        require(torch.equal(after.logits[:, :size], before.logits), "old scores move when tokens are added")
        mixed = torch.cat([old, torch.tensor([ids])], 1)
        require(close(self.read_ids(part, mixed).hidden[:, :5], before.hidden), "old tokens move beside added ones")
        swapped = torch.cat([old, torch.tensor([ids[::-1]])], 1)
        differ = not close(self.read_ids(part, mixed).hidden[:, 5:], self.read_ids(part, swapped).hidden[:, 5:])
        require(differ, "two added tokens have the same embedding")

    @check("freeze all but the added rows where 'freeze' is set; block no gradient to the placed vectors")
    def test_frozen_llm_trains_the_added_rows_alone(self, case: LLMCase) -> None:
        """With `freeze: true` gradient reaches the placed vectors and the added rows, and nothing else."""
        part = self.made(case, freeze=True)
        old = sum(p.numel() for p in part.parameters())
        ids = part.add_tokens(_TAGS)
        rows = sum(p.numel() for p in part.parameters()) - old
        trained = sum(p.numel() for p in part.parameters() if p.requires_grad)
        require(trained == rows, f"{trained} parameters can be trained, the added rows have {rows}")
        free = self.embeddings(case, part)[0, :2].requires_grad_()
        x = torch.tensor([[0, 0, *ids]])
        places = {"rows": torch.tensor([0, 0]), "positions": torch.tensor([0, 1]), "vectors": free}
        scores = self.read_ids(part, x, logits_at=torch.tensor([[0, 2], [0, 3]]), **places).logits
        assert scores is not None
        (scores[:, ids] * torch.tensor([[1.0, 2.0], [3.0, 5.0]])).sum().backward()  # type: ignore[no-untyped-call]
        require(free.grad is not None and bool((free.grad.abs().sum(-1) > 0).all()), "vectors get no gradient")
        silent = [n for n, p in part.named_parameters() if p.requires_grad and (p.grad is None or not p.grad.any())]
        require(not silent, f"these added rows get no gradient: {', '.join(silent)}")

    @check("train the model's own parameters unless 'freeze' is set")
    def test_learns_when_not_frozen(self, case: LLMCase) -> None:
        """With `freeze: false`, gradient reaches its parameters."""
        part = self.made(case, freeze=False).train()
        hidden = self.read(part, self.embeddings(case, part)).hidden
        if hidden.requires_grad:
            torch.autograd.backward((hidden * torch.randn_like(hidden)).sum())
        self.require_gradient(part, "with freeze: false")

    @check("encode plain text only, and leave special tokens out of decode")
    def test_text_survives_the_tokenizer(self, case: LLMCase) -> None:
        """Text that is encoded and decoded is the same, and no typed text becomes a special token."""
        tokenizer = self.made(case).tokenizer
        back = tokenizer.decode(tokenizer.encode(case.words))
        require(back.strip() == case.words, f"{case.words!r} comes back as {back!r}")
        special = {*tokenizer.special_ids(), *tokenizer.stop_ids}
        require(tokenizer.decode(sorted(special)).strip() == "", "decode shows special tokens")
        plain = tokenizer.render([Message("user", case.words)])
        for text in _spelled(tokenizer, special & set(_ids(plain)) | {tokenizer.eos_id}):
            require(not special & set(tokenizer.encode(text)), f"encode makes a special token of {text}")
            typed = tokenizer.render([Message("user", f"{text} {case.words}")])
            count = [sum(i in special for i in _ids(pieces)) for pieces in (plain, typed)]
            require(count[0] == count[1], f"typing {text} in a message makes a special token")

    @check("mark an assistant's pieces as learned, the last of them ending with eos_id; list eos_id among stop_ids")
    def test_answers_are_learned_up_to_their_end(self, case: LLMCase) -> None:
        """Assistant messages alone are learned, each up to `eos_id`, which generation may sample and stops at."""
        tokenizer = self.made(case).tokenizer
        words = case.words.split()
        texts = [" ".join(words[n:]) for n in range(4)]
        roles: list[Role] = ["user", "assistant", "user", "assistant"]
        pieces = tokenizer.render([Message(role, text) for role, text in zip(roles, texts)])
        learned = [piece for piece in pieces if piece.learned]
        require(
            {p.message for p in learned} == {1, 3}, f"of {roles}, {sorted({p.message for p in learned})} are learned"
        )
        for number in (1, 3):
            ids = [i for piece in learned if piece.message == number for i in piece.ids]
            require(ids[-1] == tokenizer.eos_id, f"an answer ends with {ids[-1]}, eos_id is {tokenizer.eos_id}")
            said = tokenizer.decode(ids).strip()
            require(said == texts[number], f"the answer {texts[number]!r} is learned as {said!r}")
        require(
            tokenizer.stop_ids[0] == tokenizer.eos_id, f"stop_ids are {tokenizer.stop_ids}: eos_id is not the first"
        )
        banned = sorted(set(tokenizer.stop_ids) & set(tokenizer.special_ids()))
        require(not banned, f"special_ids forbids to sample the stop ids {banned}")

    @check("end a conversation with open_answer where the answer's learned tokens would begin")
    def test_prompts_begin_the_whole(self, case: LLMCase) -> None:
        """What is read before an answer is generated is what stood before it in training."""
        tokenizer = self.made(case).tokenizer
        question, answer = Message("user", case.words), Message("assistant", case.words)
        prompt = _ids(tokenizer.render([question], open_answer=True))
        whole = tokenizer.render([question, answer])
        before: list[int] = []
        for piece in whole:
            if piece.learned:
                break
            before += piece.ids
        require(prompt == before, "a prompt differs from what stands before the answer in the whole conversation")

    @check("give each medium a piece of its own, without ids, where it stands between the words")
    def test_media_have_their_places(self, case: LLMCase) -> None:
        """Media come in order, in their messages; those of an assistant are learned."""
        tokenizer = self.made(case).tokenizer
        media = [Media("kit", torch.zeros(1)) for _ in range(3)]
        words = case.words
        said = [
            Message("user", [media[0], f"{words} ", media[1]]),
            Message("assistant", [f"{words} ", media[2], words]),
        ]
        pieces = tokenizer.render(said)
        found = [(p.message, p.media, p.learned, len(p.ids)) for p in pieces if p.media is not None]
        expected = [(0, media[0], False, 0), (0, media[1], False, 0), (1, media[2], True, 0)]
        require(found == expected, "media are not where they were put: message, medium, learned, number of ids")
        at = [n for n, piece in enumerate(pieces) if piece.media is not None]
        between = tokenizer.decode(_ids(pieces[at[0] : at[1]])).strip()
        require(between == words, f"{words!r} between two media comes back as {between!r}")

    @check("keep the tokenizer free of open files, lambdas and the model")
    def test_tokenizer_pickles(self, case: LLMCase) -> None:
        """Data workers get a pickled tokenizer that works alike."""
        part = self.made(case)
        copy = pickle.loads(pickle.dumps(part.tokenizer))
        require(copy.encode(case.words) == part.tokenizer.encode(case.words), "the copy encodes in another way")
        turns = [Message("user", case.words), Message("assistant", case.words)]
        require(copy.render(turns) == part.tokenizer.render(turns), "the copy renders in another way")


def _positions(segments: Tensor) -> Tensor:
    """Positions that count from 0 in every sample."""
    index = torch.arange(segments.shape[1], device=segments.device).expand_as(segments)
    begins = segments != torch.cat([torch.zeros_like(segments[:, :1]), segments[:, :-1]], 1)
    return (index - torch.where(begins, index, 0).cummax(1).values) * (segments > 0)


def _everywhere(x: Tensor) -> Tensor:
    """Rows and positions ``(B * S, 2)`` of all places."""
    return torch.ones(x.shape[:2], dtype=torch.bool).nonzero().to(x.device)


def _ids(pieces: Sequence[Piece]) -> list[int]:
    return [i for piece in pieces for i in piece.ids]


def _spelled(tokenizer: Any, ids: set[int]) -> list[str]:
    """How special tokens are spelled, as far as the tokenizer's backend tells."""
    convert = getattr(getattr(tokenizer, "backend", None), "convert_ids_to_tokens", None)
    return [] if convert is None else [str(t) for t in convert(sorted(ids))]
