"""Faults that only show while something is learnt: weights that stand still, gradients of zero, a loss that grows.

Shape legend: T media to be produced, L features per medium, D feature dim, H hidden size.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import permutations

from torch import Tensor, nn
from torch.optim import Optimizer

from anyloom.interfaces.component import NeuralComponent
from anyloom.interfaces.representation import Before, Representation
from anyloom.network.network import Network
from anyloom.training.watching.finding import Finding, spread

__all__ = ["Predictions", "Sampled", "gradient_findings", "head_findings", "prediction_findings", "trend_findings"]

_GROWN = 2.0
_SAMPLED = 64

Predictions = Mapping[str, tuple[Tensor, Tensor, Before | None]]
"""Hidden states ``(T, n + 1, H)``, true features ``(T, L, D)`` and what stood before, by modality."""


def _learners(model: Network) -> Iterator[tuple[str, NeuralComponent]]:
    """Parts of representations that the config does not keep fixed, by their YAML keys."""
    for part in model.parts.components():
        if part.kind == "representation":
            inner = part.component.nested()
            named = {f"{part.key}.{key}": own for key, own in inner.items()} or {part.key: part.component}
            yield from ((key, own) for key, own in named.items() if not own.frozen and list(own.parameters()))


def head_findings(model: Network, optimizers: Sequence[Optimizer]) -> Iterator[Finding]:
    """Whether every part that should learn has parameters that an optimizer changes."""
    changed = {id(p) for o in optimizers for group in o.param_groups for p in group["params"]}
    for key, part in _learners(model):
        wanted = [p for p in part.parameters() if p.requires_grad]
        if not wanted:
            yield Finding("frozen", key, "none of its parameters asks for a gradient", "undo requires_grad_(False)")
        elif changed and not any(id(p) in changed for p in wanted):
            yield Finding("frozen", key, "no optimizer has any of its parameters", "give them to the optimizer")


def gradient_findings(model: Network, modalities: Collection[str]) -> Iterator[Finding]:
    """Whether a part got a gradient that is exactly zero everywhere.

    Args:
        model: The model, before the optimizer's step.
        modalities: Of which media were read and produced in the step; the others' parts have nothing to learn from.
    """
    for key, part in _learners(model):
        own = any(key == f"model.modalities.{m}.representation" or f".{m}.representation." in key for m in modalities)
        grads = [p.grad for p in part.parameters() if p.grad is not None]
        if own and grads and not any(bool(g.any()) for g in grads):
            fix = "start its weights from random numbers (two layers of zeros never leave zero), or load trained ones"
            yield Finding("dead", key, "its gradient is exactly zero", fix)


def prediction_findings(model: Network, seen: Predictions, step: int) -> Iterator[Finding]:
    """Whether predictions depend on what was read, and whether two modalities have each other's heads."""
    spreads = {name: (spread(model.representation(name).read(h, b)), spread(t)) for name, (h, t, b) in seen.items()}
    for name, (predicted, true) in spreads.items():
        if step and true > 0 and predicted < 1e-6 * true:
            what = f"it predicts one and the same for {len(seen[name][1])} different media"
            fix = "start its output from random numbers, lower the learning rate, look for a detached gradient"
            yield Finding("dead", f"model.modalities.{name}.representation", what, fix)
    for one, two in permutations(sorted(seen), 2):
        if one < two and _swapped(model, seen, one, two):
            what = f"the head of {two} predicts {one} better than its own does, and the other way round"
            yield Finding(
                "swapped", f"model.modalities.{one}.representation", what, "look at which weights were loaded"
            )


def _swapped(model: Network, seen: Predictions, one: str, two: str) -> bool:
    """Whether each of two modalities would be predicted at less than half the error by the other's head."""
    if seen[one][1].shape[1:] != seen[two][1].shape[1:] or seen[one][0].shape[1:] != seen[two][0].shape[1:]:
        return False
    heads = model.representation(one), model.representation(two)
    if type(heads[0]) is not type(heads[1]):
        return False
    errors = {(h, n): _error(heads[h], *seen[name]) for h in (0, 1) for n, name in enumerate((one, two))}
    return errors[1, 0] < 0.5 * errors[0, 0] and errors[0, 1] < 0.5 * errors[1, 1]


def _error(head: Representation, hidden: Tensor, true: Tensor, before: Before | None) -> float:
    return float((head.read(hidden, before).float() - true.float()).square().mean())


def trend_findings(first: Mapping[str, float], now: Mapping[str, float], rates: Collection[float]) -> Iterator[Finding]:
    """Whether the loss of the fixed batch has grown since the first look.

    Args:
        first: Terms and ``loss``, their weighted sum, at the first look.
        now: The same now.
        rates: Learning rates of the optimizers.

    >>> [f.where for f in trend_findings({"text": 2.0, "loss": 2.0}, {"text": 9.0, "loss": 9.0}, [0.1])]
    ['module.optimizer.lr']
    """
    if now["loss"] > _GROWN * first["loss"] > 0:
        worst = max((k for k in now if k != "loss"), key=lambda k: now[k] - first.get(k, 0.0), default="loss")
        what = (
            f"with {max(rates, default=0.0):.2g} the loss of the first batch has grown from {first['loss']:.3g} to "
            f"{now['loss']:.3g}, {worst} most"
        )
        yield Finding("learning-rate", "module.optimizer.lr", what, "lower it, warm up longer, clip the gradient")


class Sampled:
    """A few numbers of every parameter that is trained, to see whether any moves.

    Args:
        module: The module that is trained.
        step: When they were taken.

    >>> layer = nn.Linear(2, 1)
    >>> before = Sampled(layer, step=0)
    >>> [finding.where for finding in before.findings(layer, step=10, rates=[0.1])]
    ['module.optimizer.lr']
    """

    def __init__(self, module: nn.Module, step: int) -> None:
        self.step = step
        self.taken = {n: _some(p).clone() for n, p in module.named_parameters() if p.requires_grad}

    def findings(self, module: nn.Module, step: int, rates: Collection[float]) -> Iterator[Finding]:
        """Whether none of them has moved since; too few steps say nothing, since a warm-up may begin at 0."""
        now = {n: _some(p) for n, p in module.named_parameters()}
        still = all(n in now and bool((now[n] == old).all()) for n, old in self.taken.items() if old.numel())
        if step - self.step < 5 or not self.taken or not still:
            return
        rate = max(rates, default=0.0)
        what = f"it is {rate:.2g}, and no weight has moved in {step - self.step} steps"
        fix = "raise it, or lower the number of warm-up steps" if rate else "set it above 0"
        yield Finding("learning-rate", "module.optimizer.lr", what, fix)


def _some(parameter: nn.Parameter) -> Tensor:
    """Up to 64 numbers of a parameter, of this process's share where it is sharded, from all over it."""
    local = parameter.to_local() if hasattr(parameter, "to_local") else parameter.data
    flat = local.detach().reshape(-1)
    return flat[:: max(1, flat.numel() // _SAMPLED)][:_SAMPLED]
