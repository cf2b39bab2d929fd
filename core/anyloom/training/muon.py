"""Muon for the matrices between hidden states, AdamW for everything else, as one optimizer.

Muon (torch.optim.Muon) orthogonalises the momentum of a matrix. It is meant for the matrices that map hidden states to
hidden states; embeddings, output rows, vectors and convolutions stay with AdamW. Its step is scaled to the size of
AdamW's (``match_rms_adamw``), so that one learning rate and one weight decay serve both. On a CPU it orthogonalises in
float32: torch's bfloat16 takes thirty times as long on one without matrix units.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, overload

import torch
from torch import nn
from torch.optim import AdamW, Muon, Optimizer

__all__ = ["MuonWithAdamW", "is_hidden_matrix"]

_TABLES = ("embed", "lm_head", "new_input_rows", "new_output_rows")


def is_hidden_matrix(name: str, parameter: nn.Parameter) -> bool:
    """Whether Muon may have a parameter: two-dimensional, and no table with a row per token.

    >>> import torch
    >>> weight = nn.Parameter(torch.zeros(4, 4))
    >>> is_hidden_matrix("llm.lm.model.layers.0.mlp.up_proj.weight", weight)
    True
    >>> is_hidden_matrix("llm.lm.model.embed_tokens.weight", weight)
    False
    """
    return parameter.ndim == 2 and not any(table in name for table in _TABLES)


class MuonWithAdamW(Optimizer):
    """Steps two optimizers of torch that share this one's groups and state.

    Args:
        parameters: Named parameters; those without ``requires_grad`` are left out.
        lr: Learning rate of both.
        betas: AdamW's; Muon's momentum is 0.95.
        weight_decay: Of matrices; vectors get none.

    >>> import torch
    >>> layer = nn.Linear(3, 3)
    >>> optimizer = MuonWithAdamW(layer.named_parameters(), lr=0.1)
    >>> layer(torch.ones(3)).sum().backward()
    >>> optimizer.step()
    >>> sorted(len(state) for state in optimizer.state.values())
    [1, 3]
    """

    def __init__(
        self,
        parameters: Iterable[tuple[str, nn.Parameter]],
        *,
        lr: float,
        betas: tuple[float, float] = (0.9, 0.98),
        weight_decay: float = 0.0,
    ) -> None:
        trainable = [(name, p) for name, p in parameters if p.requires_grad]
        hidden = [p for name, p in trainable if is_hidden_matrix(name, p)]
        others = [p for name, p in trainable if not is_hidden_matrix(name, p)]
        groups: list[dict[str, Any]] = [
            {"params": [p for p in others if p.ndim > 1], "weight_decay": weight_decay},
            {"params": [p for p in others if p.ndim <= 1], "weight_decay": 0.0},
        ]
        self._muon = _Muon(hidden, lr=lr, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw") if hidden else None
        others_of = [g for g in groups if g["params"]]
        self._adamw = AdamW(others_of, lr=lr, betas=betas, fused=True) if others_of else None
        self._inner = [inner for inner in (self._muon, self._adamw) if inner is not None]
        super().__init__([group for inner in self._inner for group in inner.param_groups], {})
        self._share()

    def _share(self) -> None:
        """Let both see this optimizer's groups and state: what is set or loaded here is theirs."""
        for inner in self._inner:
            inner.state = self.state
        if self._muon is not None:
            self._muon.param_groups = self.param_groups[:1]
        if self._adamw is not None:
            self._adamw.param_groups = self.param_groups[1:] if self._muon is not None else self.param_groups

    @overload
    def step(self, closure: None = None) -> None: ...

    @overload
    def step(self, closure: Callable[[], float]) -> float: ...

    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Take a step of both, after ``closure`` if one is given.

        Returns:
            What the closure returns.
        """
        loss = None if closure is None else _with_gradients(closure)
        for inner in self._inner:
            inner.step()  # type: ignore[no-untyped-call]
        return loss

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over groups and state."""
        super().load_state_dict(state_dict)
        self._share()


class _Muon(Muon):
    """torch's Muon, in float32 where the parameters are on a CPU."""

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        if any(p.device.type != "cpu" for group in self.param_groups for p in group["params"]):
            return super().step(closure)  # type: ignore[no-untyped-call, no-any-return]
        loss = None if closure is None else _with_gradients(closure)
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._step_one(parameter, parameter.grad, group)
        return loss

    def _step_one(self, parameter: torch.Tensor, gradient: torch.Tensor, group: dict[str, Any]) -> None:
        state = self.state[parameter]
        if not state:
            state["momentum_buffer"] = torch.zeros_like(gradient)
        momentum, lr = group["momentum"], float(group["lr"])
        mean = state["momentum_buffer"].lerp_(gradient, 1 - momentum)
        update = gradient.lerp(mean, momentum) if group["nesterov"] else mean
        update = _orthogonal(update.float(), group["ns_coefficients"], group["ns_steps"], group["eps"])
        parameter.mul_(1 - lr * group["weight_decay"])
        parameter.add_(update, alpha=-lr * 0.2 * max(parameter.shape) ** 0.5)  # the factor of match_rms_adamw


def _orthogonal(matrix: torch.Tensor, coefficients: Sequence[float], steps: int, eps: float) -> torch.Tensor:
    """The matrix with its singular values brought near to 1 (Newton-Schulz, quintic; Keller Jordan's coefficients)."""
    a, b, c = coefficients
    wide = matrix.T if matrix.shape[0] > matrix.shape[1] else matrix
    wide = wide / wide.norm().clamp(min=eps)
    for _ in range(steps):
        gram = wide @ wide.T
        wide = torch.addmm(wide, torch.addmm(gram, gram, gram, beta=b, alpha=c), wide, beta=a)
    return wide.T if matrix.shape[0] > matrix.shape[1] else wide


def _with_gradients(closure: Callable[[], float]) -> float:
    with torch.enable_grad():
        return closure()
