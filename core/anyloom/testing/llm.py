"""Checks of language models: a tokenizer and a causal model of embeddings."""

from __future__ import annotations

import pickle
from typing import Any

import torch
from torch import Tensor

from anyloom.interfaces import LLMOutput
from anyloom.testing.case import LLMCase
from anyloom.testing.checking import check, require
from anyloom.testing.neural import NeuralChecks, close

__all__ = ["LLMChecks"]

_LENGTH = 6
_TAGS = ("<kit>", "</kit>")


class LLMChecks(NeuralChecks):
    """Inherit and supply the fixture ``case``, an :class:`anyloom.testing.LLMCase`."""

    def embeddings(self, case: LLMCase, part: Any, rows: int = 2) -> Tensor:
        """Embeddings ``(rows, 6, H)``."""
        device = next((t.device for t in (*part.parameters(), *part.buffers())), torch.device("cpu"))
        drawn = torch.randn(rows, _LENGTH, part.hidden_size, generator=torch.Generator().manual_seed(2))
        return drawn.to(device)

    def hidden(self, part: Any, x: Tensor, **more: Any) -> Tensor:
        """Hidden states ``(B, S, H)`` of embeddings that stand at positions 0, 1, 2..., all of them readable."""
        hidden: Tensor = self.full_pass(part, x, **more).hidden
        return hidden

    def full_pass(self, part: Any, x: Tensor, **more: Any) -> LLMOutput:
        """One pass from position 0."""
        mask = torch.ones(x.shape[:2], dtype=torch.long, device=x.device)
        positions = torch.arange(x.shape[1], device=x.device).expand(len(x), -1)
        output: LLMOutput = part(x, mask, positions, **more)
        return output

    def outputs(self, case: LLMCase, part: Any) -> dict[str, Tensor]:
        """Hidden states and scores."""
        hidden = self.hidden(part, self.embeddings(case, part))
        return {"hidden": hidden, "logits": part.logits(hidden)}

    @check("return hidden states (B, S, H) after the final norm, and scores over vocabulary and added tokens")
    def test_hidden_states_and_scores_have_their_shapes(self, case: LLMCase) -> None:
        """Hidden states are (B, S, H); scores cover every id, added tokens included."""
        part = self.made(case)
        ids = part.add_tokens(_TAGS)
        hidden = self.hidden(part, self.embeddings(case, part))
        require(hidden.shape == (2, _LENGTH, part.hidden_size), f"hidden states are {tuple(hidden.shape)}")
        width = part.logits(hidden).shape
        require(width == (2, _LENGTH, max(ids) + 1), f"scores are {tuple(width)}, the last id is {max(ids)}")

    @check("apply a causal mask also where embeddings are given instead of ids")
    def test_is_causal(self, case: LLMCase) -> None:
        """No position sees a later one."""
        part = self.shaken(case)
        x = self.embeddings(case, part)
        changed = x.clone()
        changed[:, -1] = x[:, -1].flip(-1)  # not a constant more, which a LayerNorm takes away
        before, after = self.hidden(part, x), self.hidden(part, changed)
        require(close(before[:, :-1], after[:, :-1]), "earlier hidden states change with the last embedding")
        require(not close(before[:, -1], after[:, -1]), "the last hidden state does not change with its embedding")

    @check("hand attention_mask and position_ids on to the attention layers")
    def test_masked_positions_are_not_read(self, case: LLMCase) -> None:
        """What stands where the mask is 0 changes nothing, on the left and on the right."""
        part = self.shaken(case)
        x = self.embeddings(case, part)
        alone = self.hidden(part, x)
        noise = torch.randn(2, 2, part.hidden_size, generator=torch.Generator().manual_seed(4)).to(x)
        ones, zeros = torch.ones(2, _LENGTH, dtype=torch.long), torch.zeros(2, 2, dtype=torch.long)
        positions = torch.arange(_LENGTH).expand(2, -1)
        left = part(torch.cat([noise, x], 1), torch.cat([zeros, ones], 1), torch.cat([zeros, positions], 1)).hidden
        require(close(left[:, 2:], alone), "hidden states change with padding on the left")
        right = part(torch.cat([x, noise], 1), torch.cat([ones, zeros], 1), torch.cat([positions, zeros], 1)).hidden
        require(close(right[:, :_LENGTH], alone), "hidden states change with padding on the right")

    @check("extend the cache that is given, and read attention_mask as (B, past + S)")
    def test_cache_equals_one_pass(self, case: LLMCase) -> None:
        """Reading a sequence in two calls with the cache gives what one call gives."""
        part = self.shaken(case)
        x = self.embeddings(case, part)
        first = self.full_pass(part, x[:, :4], use_cache=True)
        require(first.cache is not None, "with use_cache no cache is returned")
        mask = torch.ones(2, _LENGTH, dtype=torch.long)
        positions = torch.arange(4, _LENGTH).expand(2, -1)
        second = part(x[:, 4:], mask, positions, cache=first.cache, use_cache=True).hidden
        require(close(torch.cat([first.hidden, second], 1), self.hidden(part, x)), "two calls differ from one")

    @check("keep rows apart")
    def test_batch_equals_singles(self, case: LLMCase) -> None:
        """A row's hidden states do not depend on the other rows."""
        part = self.shaken(case)
        x = self.embeddings(case, part, rows=3)
        alone = torch.cat([self.hidden(part, row[None]) for row in x])
        require(close(self.hidden(part, x), alone), "hidden states change with the batch")

    @check("keep the rows of added tokens apart from the old tables; number them after the old vocabulary")
    def test_added_tokens_leave_the_old_ones_alone(self, case: LLMCase) -> None:
        """Added tokens get new ids and rows; old embeddings and scores stay as they were."""
        part = self.made(case)
        old = torch.tensor(part.tokenizer.encode(case.words))
        hidden = self.hidden(part, self.embeddings(case, part))
        before, scores = part.embed(old), part.logits(hidden)
        ids = part.add_tokens(_TAGS)
        require(len(set(ids)) == len(_TAGS), f"two tokens get the ids {ids}")
        require(min(ids) >= scores.shape[-1], f"the new ids {ids} are among the old {scores.shape[-1]}")
        require(torch.equal(part.embed(old), before), "old embeddings move when tokens are added")
        require(torch.equal(part.logits(hidden)[..., : scores.shape[-1]], scores), "old scores move")
        mixed = part.embed(torch.tensor([int(old[0]), *ids]))
        require(mixed.shape == (1 + len(ids), part.hidden_size), f"embeddings are {tuple(mixed.shape)}")
        require(torch.equal(mixed[0], before[0]), "an old embedding is another beside added tokens")

    @check("freeze all but the added rows where 'freeze' is set; block no gradient to the embeddings")
    def test_frozen_llm_trains_the_added_rows_alone(self, case: LLMCase) -> None:
        """With `freeze: true` gradient reaches the embeddings and the added rows, and nothing else."""
        part = self.made(case, freeze=True)
        old = sum(p.numel() for p in part.parameters())
        ids = torch.tensor(part.add_tokens(_TAGS))
        rows = sum(p.numel() for p in part.parameters()) - old
        trained = sum(p.numel() for p in part.parameters() if p.requires_grad)
        require(trained == rows, f"{trained} parameters can be trained, the added rows have {rows}")
        x = part.embed(ids).expand(2, -1, -1)
        free = self.embeddings(case, part).requires_grad_()
        hidden = self.hidden(part, torch.cat([free, x], 1))
        part.logits(hidden)[..., ids].sum().backward()
        require(free.grad is not None and bool((free.grad.abs().sum(-1) > 0).all()), "embeddings get no gradient")
        silent = [n for n, p in part.named_parameters() if p.requires_grad and (p.grad is None or not p.grad.any())]
        require(not silent, f"these added rows get no gradient: {', '.join(silent)}")

    @check("train the model's own parameters unless 'freeze' is set")
    def test_learns_when_not_frozen(self, case: LLMCase) -> None:
        """With `freeze: false`, gradient reaches its parameters."""
        part = self.made(case, freeze=False).train()
        hidden = self.hidden(part, self.embeddings(case, part))
        if hidden.requires_grad:
            torch.autograd.backward((hidden * torch.randn_like(hidden)).sum())
        self.require_gradient(part, "with freeze: false")

    @check("encode plain text only, and leave special tokens out of decode")
    def test_text_survives_the_tokenizer(self, case: LLMCase) -> None:
        """Text that is encoded and decoded is the same, and no typed text becomes a special token."""
        tokenizer = self.made(case).tokenizer
        back = tokenizer.decode(tokenizer.encode(case.words))
        require(back.strip() == case.words, f"{case.words!r} comes back as {back!r}")
        special = [*tokenizer.special_ids(), tokenizer.eos_id]
        require(tokenizer.decode(special).strip() == "", "decode shows special tokens")
        markup = {i for before, after in tokenizer.chat_parts(["user", "assistant"]) for i in (*before, *after)}
        spelled = _spelled(tokenizer, markup & set(special))
        forged = [text for text in spelled if set(tokenizer.encode(text)) & set(special)]
        require(not forged, f"typing {', '.join(forged)} makes a special token")

    @check("end an assistant message's suffix with eos_id, and do not count eos_id among special_ids")
    def test_chat_markup_ends_answers(self, case: LLMCase) -> None:
        """There is markup for each message, and an assistant message ends with `eos_id`."""
        tokenizer = self.made(case).tokenizer
        roles = ["user", "assistant", "user", "assistant"]
        parts = tokenizer.chat_parts(roles)
        require(len(parts) == len(roles), f"for {len(roles)} messages there is markup for {len(parts)}")
        for role, (_, suffix) in zip(roles, parts):
            if role == "assistant":
                require(bool(suffix) and suffix[-1] == tokenizer.eos_id, f"an assistant message ends with {suffix}")
        require(tokenizer.eos_id not in tokenizer.special_ids(), "special_ids forbids to sample eos_id")

    @check("keep the tokenizer free of open files, lambdas and the model")
    def test_tokenizer_pickles(self, case: LLMCase) -> None:
        """Data workers get a pickled tokenizer that works alike."""
        part = self.made(case)
        copy = pickle.loads(pickle.dumps(part.tokenizer))
        require(copy.encode(case.words) == part.tokenizer.encode(case.words), "the copy encodes in another way")


def _spelled(tokenizer: Any, ids: set[int]) -> list[str]:
    """How special tokens are spelled, as far as the tokenizer's backend tells."""
    convert = getattr(getattr(tokenizer, "backend", None), "convert_ids_to_tokens", None)
    return [] if convert is None else [str(t) for t in convert(sorted(ids))]
