"""What came out of a suite, as a JSON file that stays readable when the suite changes.

``results.json`` holds one object::

    {"format": 1,
     "suite", "title", "split", "queries", "seed", "command", "seconds", "asked": hash of data and metrics,
     "model": what was evaluated, "weights": {file: SHA-256}, "parameters": {part: count},
     "environment": {"anyloom": version, ...},
     "measures": {"<metric>/<value>": {"title", "explanation", "better", "form"}},
     "values": {"<metric>/<group>/<value>": {"value", "count", "error"}},
     "flags": {"<metric>/<group>/<value>": [what forbids reading it as it stands, ...]},
     "tests": [{"label", "value", "better", "than", "wins", "losses", "ties", "p"}]}

``count`` is the number of samples behind a value and ``error`` its standard error, null where there is none.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from anyloom.errors import CheckpointError
from anyloom.evaluation.sign_test import SignTest
from anyloom.evaluation.suite import ComparisonSettings
from anyloom.interfaces.metric import Metric, Score, ValueInfo
from anyloom.storage.atomic import write_text
from anyloom.storage.json_text import read_json

__all__ = ["Results", "Value", "count_name", "named_parts"]

_FORMAT: Final = 1
_WHAT: Final = "these are no results of an evaluation"
_FIX: Final = "run 'anyloom evaluate' again"


@dataclass(frozen=True)
class Value:
    """One measured value.

    Args:
        value: The value.
        count: Samples behind it; 0 if unknown.
        error: Its standard error; None if unknown.

    >>> Value(0.5, count=20, error=0.1).count
    20
    """

    value: float
    count: int = 0
    error: float | None = None


@dataclass
class Results:
    """Everything in ``results.json``.

    Args:
        facts: Plain values about the run: suite, model, weights, command, seed and so on.
        values: Measured values by ``<metric>/<group>/<value>``.
        measures: What they are, by ``<metric>/<value>``.
        tests: Sign tests with what they compared.
        flags: What forbids reading values as they stand, by their names.
        scores: What each sample got, by metric; they have a file of their own (:mod:`anyloom.evaluation.paired`).

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "results.json"
    ...     Results(values={"words/all/right": Value(0.5, 20)}).write(path)
    ...     Results.read(path).values["words/all/right"].count
    20
    """

    facts: dict[str, Any] = field(default_factory=dict)
    values: dict[str, Value] = field(default_factory=dict)
    measures: dict[str, ValueInfo] = field(default_factory=dict)
    tests: list[tuple[ComparisonSettings, SignTest]] = field(default_factory=list)
    flags: dict[str, list[str]] = field(default_factory=dict)
    scores: dict[str, list[Score]] = field(default_factory=dict)

    def add(self, key: str, metric: Metric) -> None:
        """Take in what a metric says of its values, and what each sample got; every process must call it."""
        self.measures |= {f"{key}/{name}": info for name, info in metric.measures.items()}
        if metric.update_called:
            self.flags |= {f"{key}/{name}": said for name, said in metric.flags().items() if said}
            self.scores[key] = list(metric.scores())

    def merge(self, other: Results) -> None:
        """Take in values of other names, with what is said of them."""
        self.values |= other.values
        self.flags |= other.flags
        self.measures |= other.measures

    def info(self, name: str) -> ValueInfo | None:
        """What a value is; a baseline is what its measure is."""
        metric, _, value = named_parts(name)
        found = [n for n in self.measures if f"{metric}/{value}" == n or f"{metric}/{value}".startswith(n + "_")]
        return self.measures[max(found, key=len)] if found else None

    def write(self, path: Path) -> None:
        """Write the file, whole or not at all."""
        content = {
            "format": _FORMAT,
            **self.facts,
            "measures": {n: asdict(i) for n, i in self.measures.items()},
            "values": {n: asdict(v) for n, v in self.values.items()},
            "flags": self.flags,
            "tests": [{**c.model_dump(), **asdict(t)} for c, t in self.tests],
        }
        write_text(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")

    @classmethod
    def read(cls, path: Path) -> Results:
        """Read a file that :meth:`write` wrote.

        Raises:
            anyloom.errors.CheckpointError: It is not such a file, or is not there.
        """
        if not path.is_file():
            fix = "give the folder that 'anyloom evaluate' or 'anyloom score' wrote"
            raise CheckpointError("there is no such file", where=str(path), fix=fix)
        try:
            content = read_json(path, what=_WHAT, fix=_FIX, kind=object)
            if not isinstance(content, dict) or content.pop("format", None) != _FORMAT:
                raise ValueError("another format")
            values = {n: Value(**v) for n, v in content.pop("values").items()}
            measures = {n: ValueInfo(**i) for n, i in content.pop("measures").items()}
            flags = {str(n): list(map(str, said)) for n, said in content.pop("flags", {}).items()}
            tests = [
                (
                    ComparisonSettings(**{k: t[k] for k in ComparisonSettings.model_fields}),
                    SignTest(**{k: t[k] for k in ("wins", "losses", "ties", "p")}),
                )
                for t in content.pop("tests")
            ]
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise CheckpointError(f"{_WHAT} ({error})", where=str(path), fix=_FIX) from error
        return cls(content, values, measures, tests, flags)


def named_parts(name: str) -> tuple[str, str, str]:
    """Metric, group and value of a name.

    >>> named_parts("retrieval/exemplar/tone/k1/hard_top1")
    ('retrieval', 'exemplar/tone/k1', 'hard_top1')
    """
    metric, _, rest = name.partition("/")
    group, _, value = rest.rpartition("/")
    return metric, group, value


def count_name(name: str) -> str:
    """Name of the number of samples behind a value.

    >>> count_name("words/all/right")
    'words/all/count'
    """
    metric, group, _ = named_parts(name)
    return f"{metric}/{group}/count"
