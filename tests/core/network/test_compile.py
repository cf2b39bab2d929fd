"""``torch.compile`` of the training forward: few graphs, the same losses and gradients."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from anyloom import AnyToAnyModel
from two_ranks import KINDS, model, sample

# dynamo looks at gradients of what has none
pytestmark = pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
MOST_GRAPHS = 2


@pytest.fixture
def network(tokenizer_folder: Path) -> AnyToAnyModel:
    """Three modalities, two representations, a trained encoder, a decoder whose loss flows back."""
    return model(tokenizer_folder).train()


def losses(network: AnyToAnyModel, forward: object, batch: object) -> dict[str, torch.Tensor]:
    torch.manual_seed(5)  # of the decoder's noise
    network.zero_grad()
    found = forward(batch)  # type: ignore[operator]
    found.total().backward()
    terms = {name: term.total.detach() for name, term in found.terms.items()}
    gradients = {name: p.grad.clone() for name, p in network.named_parameters() if p.grad is not None}
    return {**terms, **gradients}


@pytest.mark.parametrize("kinds", [[KINDS], [("text",)], [("image", "text"), ("audio",)]], ids=str)
def test_a_batch_is_few_graphs(network: AnyToAnyModel, kinds: list[tuple[str, ...]]) -> None:
    batch = network.collator()([sample(one, n) for n, one in enumerate(kinds)])
    torch._dynamo.reset()
    found = torch._dynamo.explain(network)(batch)
    assert found.graph_count <= MOST_GRAPHS, [str(r.reason) for r in found.break_reasons]


def test_compiled_losses_and_gradients_are_those_of_the_plain_forward(network: AnyToAnyModel) -> None:
    batch = network.collator()([sample(KINDS, 0), sample(("image",), 1)])
    plain = losses(network, network, batch)
    torch._dynamo.reset()
    compiled = losses(network, torch.compile(network, backend="aot_eager"), batch)
    assert compiled.keys() == plain.keys()
    for name, value in plain.items():
        torch.testing.assert_close(compiled[name], value, atol=1e-5, rtol=1e-4, msg=name)
