"""YAML in and out: plain values only, numbers as in YAML 1.2, every size limited before memory is taken.

PyYAML follows YAML 1.1, where ``1e-4`` is a text, ``1:30`` is 90 and ``010`` is 8. Here ``1e-4`` is a number, ``1:30``
and ``2024-05-01`` are texts and ``010`` is 10. What :func:`write_yaml` writes, :func:`parse_yaml` reads as the same
values.
"""

from __future__ import annotations

import copy
import functools
import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any, Final

import yaml

from anyloom.config.limits import read_limited
from anyloom.errors import ConfigError
from anyloom.limits import limit

__all__ = ["FromEnvironment", "parse_yaml", "read_yaml", "write_yaml"]

_COST: Final = 10
_KEPT: Final = 16
_INT: Final = re.compile(r"[-+]?(?:[0-9][0-9_]*|0x[0-9a-fA-F_]+|0o[0-7_]+|0b[01_]+)")
_FLOAT: Final = re.compile(
    r"[-+]?(?:\.[0-9][0-9_]*|[0-9][0-9_]*(?:\.[0-9_]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
)
_UNICODE_LINE_ENDS: Final = re.compile("[\x85\u2028\u2029]")
_REPLACED: Final = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float", "tag:yaml.org,2002:timestamp")


class FromEnvironment(str):
    """A text that an environment variable went into. Files and logs get the expression, never the value.

    Attributes:
        expression: What stands in the config, such as ``${oc.env:HOME}/data``.

    >>> print(write_yaml({"data": FromEnvironment("/home/me/data", "${oc.env:HOME}/data")}))
    data: ${oc.env:HOME}/data
    <BLANKLINE>
    """

    expression: str

    def __new__(cls, value: str, expression: str) -> FromEnvironment:
        """Make one; it is equal to its value."""
        made = super().__new__(cls, value)
        made.expression = expression
        return made

    def __getnewargs__(self) -> tuple[str, str]:  # type: ignore[override]  # str's own has one item
        """Copies and pickles keep the expression."""
        return str(self), self.expression


def read_yaml(path: Path) -> dict[str, Any]:
    """Read the sections of one config file.

    Raises:
        anyloom.errors.ConfigError: It cannot be read, is too large, is not YAML or holds no sections.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = (Path(folder) / "a.yaml").write_text("model: {lr: 1e-4}")
    ...     read_yaml(Path(folder) / "a.yaml")
    {'model': {'lr': 0.0001}}
    """
    value = copy.deepcopy(_parsed_once(read_limited(path), str(path), limit("config-depth"), limit("config-size")))
    if not isinstance(value, dict):
        raise ConfigError("a config file holds sections such as 'model:' and 'data:'", where=str(path))
    return value


@functools.lru_cache(maxsize=_KEPT)
def _parsed_once(text: str, where: str, depth: int, size: int) -> Any:
    """What a file says. A config with eight stages is composed nine times of the same texts.

    Args:
        text: All of it: a file that has changed is another one.
        where: Its path.
        depth: The limits that it was read under.
        size: See ``depth``.
    """
    return parse_yaml(text, where=where)


def parse_yaml(text: str, *, where: str) -> Any:
    """Parse YAML of plain values.

    Args:
        text: The YAML.
        where: Its file or override, for errors.

    Raises:
        anyloom.errors.ConfigError: It is not YAML, a key stands twice, or it is too deep or, with its aliases written
            out, too large.

    >>> parse_yaml("{lr: 1e-4, time: 1:30, seed: 010}", where="example")
    {'lr': 0.0001, 'time': '1:30', 'seed': 10}
    """
    try:
        return yaml.load(text, _Loader)  # a SafeLoader: plain values only
    except (yaml.YAMLError, ValueError, OverflowError) as error:  # ValueError: a number of thousands of digits
        raise ConfigError(f"not valid YAML: {' '.join(str(error).split())}", where=where) from error
    except RecursionError as error:
        raise ConfigError(
            "nested too deeply", where=where, fix=f"use at most {limit('config-depth')} levels"
        ) from error


def write_yaml(value: Any) -> str:
    """Return the values of a config as YAML that gives the same config when it is read again.

    What came from the environment is written as its expression, a text with ``${`` so that it stays one, and what YAML
    has no word for (a path, a period of time) as its text.

    >>> print(write_yaml({"model": {"weights": Path("a.safetensors")}}))
    model:
      weights: a.safetensors
    <BLANKLINE>
    """
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True)


class _Loader(yaml.SafeLoader):
    """Counts what it composes, with aliases written out, and stops at the limits."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._deepest, self._largest = limit("config-depth"), limit("config-size")  # not asked for at every node
        self._depth = 0
        self._size = 0
        self._sizes: dict[yaml.Node, int] = {}

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Compose a node, and know its size with all that is in it.

        An alias is as large as its anchor. The anchor's own size is known only when it is complete, so an alias without
        a size stands inside its own anchor.
        """
        mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
        if self.check_event(yaml.AliasEvent):
            node = super().compose_node(parent, index)
            if node not in self._sizes:
                raise yaml.composer.ComposerError(None, None, "an alias stands inside its own anchor", mark)
            self._grow(self._sizes[node], mark)
            return node
        before = self._size
        self._depth += 1
        if self._depth > self._deepest:
            raise yaml.composer.ComposerError(None, None, f"nested deeper than {self._deepest} levels", mark)
        node = super().compose_node(parent, index)
        self._depth -= 1
        assert node is not None
        self._grow(_COST + (len(node.value) if isinstance(node, yaml.ScalarNode) else 0), mark)
        self._sizes[node] = self._size - before
        return node

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """Compose a mapping; PyYAML would let the last of two equal keys win."""
        node = super().compose_mapping_node(anchor)
        seen = set()
        for key, _ in node.value:
            name = (key.tag, key.value) if isinstance(key, yaml.ScalarNode) else None
            if name is not None and name in seen and key.value != "<<":
                raise yaml.composer.ComposerError(None, None, f"the key {key.value!r} stands twice", key.start_mark)
            seen.add(name)
        return node

    def _grow(self, size: int, mark: Any) -> None:
        self._size += size
        if self._size > self._largest:
            raise yaml.composer.ComposerError(None, None, "too large with its aliases written out", mark)


class _Dumper(yaml.SafeDumper):
    """Writes numbers as :class:`_Loader` reads them and quotes texts that it would take for numbers."""


def _construct_int(loader: yaml.SafeLoader, node: yaml.Node) -> int:
    text = str(loader.construct_scalar(node)).replace("_", "")  # type: ignore[arg-type]
    return int(text, 0 if text.lstrip("+-")[:2].lower() in ("0x", "0o", "0b") else 10)


def _construct_float(loader: yaml.SafeLoader, node: yaml.Node) -> float:
    text = str(loader.construct_scalar(node)).replace("_", "").lower()  # type: ignore[arg-type]
    return float(text.replace(".inf", "inf").replace(".nan", "nan"))


def _numbers_of_yaml_1_2(kind: type[Any]) -> None:
    """Replace the resolvers of numbers and dates of a loader or dumper. Integers are tried before floats."""
    others = {
        first: [(tag, pattern) for tag, pattern in pairs if tag not in _REPLACED]
        for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    kind.yaml_implicit_resolvers = others
    for tag, pattern in (("int", _INT), ("float", _FLOAT)):
        whole = re.compile(f"^(?:{pattern.pattern})$")
        kind.add_implicit_resolver(f"tag:yaml.org,2002:{tag}", whole, list("-+.0123456789"))


def _represent_environment(dumper: yaml.SafeDumper, value: FromEnvironment) -> yaml.Node:
    return _represent_scalar(dumper, value.expression)


def _represent_str(dumper: yaml.SafeDumper, value: str) -> yaml.Node:
    return _represent_scalar(dumper, value.replace("${", "\\${"))


def _represent_scalar(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    """A text; PyYAML would write the line ends of Unicode as they are, and read them as blanks or line feeds."""
    style = '"' if _UNICODE_LINE_ENDS.search(text) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


def _represent_text(dumper: yaml.SafeDumper, value: Hashable) -> yaml.Node:
    """Anything else as its text, which is what options of these types are read from."""
    return _represent_str(dumper, str(value))


_numbers_of_yaml_1_2(_Loader)
_numbers_of_yaml_1_2(_Dumper)
_Loader.add_constructor("tag:yaml.org,2002:int", _construct_int)
_Loader.add_constructor("tag:yaml.org,2002:float", _construct_float)
_Dumper.add_representer(FromEnvironment, _represent_environment)
_Dumper.add_representer(str, _represent_str)
_Dumper.add_multi_representer(tuple, yaml.SafeDumper.represent_list)
_Dumper.add_multi_representer(object, _represent_text)
