"""Chat templates of strangers: what they may loop over, and how large what they make may become.

transformers runs templates in Jinja's sandbox, which lets them reach no Python object, but lets them take any time and
memory. Here every round of a loop and every call of a macro is counted, and every operation that can make a value much
larger than what it is given is looked at before it is done. The text is the one that ``apply_chat_template`` gives.
"""

from __future__ import annotations

import functools
import re
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from jinja2 import nodes
from jinja2.environment import Environment
from jinja2.exceptions import SecurityError
from jinja2.runtime import Context, Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer
from transformers.utils.chat_template_utils import _compile_jinja_template

from anyloom.limits import limit

__all__ = ["BoundedTemplate"]

_MEMBERS: Final = 1_000_000
"""Members of everything in a value."""
_NUMBER: Final = 100_000
"""Largest whole number that a function may be given; bits of one that is computed."""
_SOURCE: Final = 500_000
"""Characters of a template."""
_LAYOUT: Final = ("center", "format", "pprint", "urlize", "wordwrap", "xmlattr")
"""Filters that no chat template needs, and whose time grows faster than their text."""
_WIDTH: Final = re.compile(r"\d{5}|\*")


class BoundedTemplate:
    """A compiled chat template.

    Args:
        source: The template.

    Raises:
        jinja2.exceptions.TemplateError: It is none, or too long.
    """

    def __init__(self, source: str) -> None:
        if len(source) > _SOURCE:
            raise SecurityError(f"the template has more than {_SOURCE:,} characters")
        # another template's: transformers would compute this one's constants without a limit
        self._environment = _compile_jinja_template("").environment.overlay()
        self._environment.__class__ = _Bounded
        self._environment.limit()
        self._template = self._environment.from_string(source)

    def render(self, **values: Any) -> str:
        """Write a text.

        Raises:
            Exception: Whatever the template raises; of it ``SecurityError`` if it does too much.
        """
        self._environment.steps.left = limit("template-steps")
        return str(self._template.render(**values))


class _Bounded(ImmutableSandboxedEnvironment):
    """The sandbox with counts."""

    intercepted_binops = frozenset(("*", "**", "%", "+"))

    def limit(self) -> None:
        """Take globals and filters as they are, and put limits around them."""
        self.steps = threading.local()
        self.globals = {name: value for name, value in self.globals.items() if name != "lipsum"}
        kept = {name: function for name, function in self.filters.items() if name not in _LAYOUT}
        self.filters = {name: _limited(function) for name, function in kept.items()}
        self.finalize = _printable
        self.concat = _concat  # type: ignore[assignment]

    def step(self) -> str:
        """Count a round of a loop or a call."""
        self.steps.left = getattr(self.steps, "left", limit("template-steps")) - 1
        if self.steps.left < 0:
            raise SecurityError(f"the template does more than {limit('template-steps'):,} steps")
        return ""

    def joined(self, *parts: Any) -> str:
        """What ``~`` makes."""
        for part in parts:
            _weight(part)
        return _concat([str(part) for part in parts])

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        tree = super()._parse(source, name, filename)
        for node in list(tree.find_all((nodes.For, nodes.Macro, nodes.CallBlock, nodes.FilterBlock))):
            count = nodes.Output([_own("step", [], node.lineno)]).set_lineno(node.lineno)
            node.body.insert(0, count)  # type: ignore[attr-defined]
        return _Joins().visit(tree)  # type: ignore[no-any-return]

    def call(self, context: Context, obj: Any, /, *args: Any, **kwargs: Any) -> Any:  # type: ignore[override]
        """Call what a template calls."""
        self.step()
        name = getattr(obj, "__name__", "")
        if getattr(obj, "__self__", None) is not self:
            owner = getattr(obj, "__self__", None)
            _require_small([*((owner,) if isinstance(owner, str) else ()), *args, *kwargs.values()])
            if isinstance(owner, str) and name in ("format", "format_map") and _WIDTH.search(owner):
                raise SecurityError("the template makes a text of a width of its own")
        return super().call(context, obj, *args, **kwargs)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Compute what a template computes."""
        _require_growth(operator, left, right)
        return super().call_binop(context, operator, left, right)


class _Joins(NodeTransformer):
    """Puts a limit around ``~``, which the sandbox does not look at."""

    def visit_Concat(self, node: nodes.Concat) -> nodes.Expr:  # noqa: N802 - jinja's name
        """Call the environment in place of it."""
        self.generic_visit(node)
        return _own("joined", node.nodes, node.lineno)


def _own(name: str, arguments: list[nodes.Expr], line: int) -> nodes.Call:
    """A call of a method of the environment, by a name that no template can take."""
    call = nodes.Call(nodes.EnvironmentAttribute(name), arguments, [], None, None)
    call.set_lineno(line)
    return call


def _limited(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        _require_small([v for v in [*args, *kwargs.values()] if not isinstance(v, Context | Environment)])
        return function(*args, **kwargs)

    return call


def _require_small(values: Sequence[Any]) -> None:
    """Refuse numbers that are widths of texts, and pairs of texts whose product is one."""
    numbers = [abs(v) for v in values if isinstance(v, int)]
    if any(n > _NUMBER for n in numbers):
        raise SecurityError(f"the template calls with a number of more than {_NUMBER:,}")
    weights = sorted(_weight(v) for v in values if not isinstance(v, int))
    first, second = [1, 1, *weights][-2:]
    most = 10 * limit("template-characters")
    if max(first, 1) * max(second, 1) > most or second * max([1, *numbers]) > most:
        raise SecurityError("the template makes a text that is too long")


def _require_growth(operator: str, left: Any, right: Any) -> None:
    sized = [v for v in (left, right) if isinstance(v, str | list | tuple)]
    whole = [abs(v) for v in (left, right) if isinstance(v, int)]
    bits = sum(n.bit_length() for n in whole)
    if operator == "**" and len(whole) == 2:
        bits = whole[0].bit_length() * whole[1]
    length = sum(map(len, sized)) * (max(whole, default=1) if operator == "*" else 1)
    wide = operator == "%" and isinstance(left, str) and _WIDTH.search(left)
    if length > limit("template-characters") or bits > _NUMBER or wide:
        raise SecurityError("the template computes a value that is too large")
    if operator == "%" and isinstance(left, str):
        _require_small([left, right])


def _weight(value: Any) -> int:
    """Characters and members of a value, with everything in it, as often as it stands there."""
    most, characters, members, waiting = limit("template-characters"), 0, 0, [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, str | bytes):
            characters += len(one)
        elif isinstance(one, Mapping):
            waiting += [*one.keys(), *one.values()]
        elif isinstance(one, list | tuple | set | frozenset):
            waiting += one
        members += 1
        if characters > most or members + len(waiting) > _MEMBERS:
            raise SecurityError("the template makes a value that is too large")
    return characters + members


def _printable(value: Any) -> Any:
    if not isinstance(value, str | int | float | Undefined | type(None)):
        _weight(value)
    return value


def _concat(parts: Iterable[str]) -> str:
    whole = list(parts)
    if sum(map(len, whole)) > (most := limit("template-characters")):
        raise SecurityError(f"the template writes more than {most:,} characters")
    return "".join(whole)
