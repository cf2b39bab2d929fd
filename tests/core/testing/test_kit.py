"""The kit itself: expected failures, pytest classes, the command, a life without pytest."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.core.discovery.conftest import Install
from tests.core.testing.conftest import failed
from tests.core.testing.test_encoder_checks import scan
from tests.core.testing.test_record_checks import PARTS, record

import anyloom.testing
from anyloom.cli.main import main
from anyloom.discovery import KINDS
from anyloom.testing import EncoderCase, ProjectorCase, check_component, checks_of

MIXES = "tests.core.testing.projectors.MixesTheBatch"


def verdicts(case: ProjectorCase, expected: dict[str, str] | None = None) -> dict[str, tuple[str, str]]:
    return {r.check.name: (r.verdict, r.message) for r in check_component(case, expected)}


def test_an_expected_failure_is_reported_with_its_reason() -> None:
    case = ProjectorCase(MIXES, expected_failures={"batch_equals_singles": "it is a batch norm"})
    assert verdicts(case)["batch_equals_singles"] == ("expected", "it is a batch norm")
    assert failed(case) == set()
    argument = verdicts(ProjectorCase(MIXES), {"batch_equals_singles": "it is a batch norm"})
    assert argument["batch_equals_singles"][0] == "expected"


def test_an_expected_failure_that_passes_is_a_failure() -> None:
    case = ProjectorCase("mlp", expected_failures={"batch_equals_singles": "it was a batch norm"})
    verdict, message = verdicts(case)["batch_equals_singles"]
    assert verdict == "failed"
    assert "it passes" in message
    assert "it was a batch norm" in message


def test_an_expected_failure_of_no_check_is_a_failure() -> None:
    case = ProjectorCase(MIXES, expected_failures={"batch_equals_single": "a typing error"})
    verdict, message = verdicts(case)["builds"]
    assert verdict == "failed"
    assert "did you mean 'batch_equals_singles'?" in message


def test_every_check_says_what_it_demands_and_what_to_do() -> None:
    names = [n for n in anyloom.testing.__all__ if n.endswith("Checks")]
    for cls in (getattr(anyloom.testing, n) for n in names):
        tests = [getattr(cls, n) for n in dir(cls) if n.startswith("test_")]
        assert tests
        assert all(t.check.demand.endswith(".") and t.check.cure for t in tests)


def test_there_is_a_class_for_every_kind() -> None:
    cases = {getattr(anyloom.testing, n) for n in anyloom.testing.__all__ if n.endswith("Case")}
    fields = {c.__dataclass_fields__["kind"].default for c in cases if c is not anyloom.testing.Case}
    assert fields == set(KINDS)


PYTEST_FILE = f"""
import pytest
from anyloom.testing import ProjectorCase, ProjectorChecks

class TestWhole(ProjectorChecks):
    @pytest.fixture
    def case(self):
        return ProjectorCase("mlp")

class TestDeclared(ProjectorChecks):
    @pytest.fixture
    def case(self):
        return ProjectorCase("{MIXES}", expected_failures={{"batch_equals_singles": "it is a batch norm"}})

class TestBroken(ProjectorChecks):
    @pytest.fixture
    def case(self):
        return ProjectorCase("{MIXES}")
"""


def test_a_pytest_class_needs_one_fixture(tmp_path: Path) -> None:
    (tmp_path / "test_mine.py").write_text(PYTEST_FILE)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    command = [sys.executable, "-m", "pytest", "-q", "-rA", "-k", "batch_equals or record_is", "test_mine.py"]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=1800, check=False
    )
    # a class path has no record, so two of the three skip its check
    assert "1 failed, 2 passed, 2 skipped" in done.stdout, done.stdout
    assert "1 xfailed" in done.stdout
    assert "it is a batch norm" in done.stdout
    assert "To fix: normalise over the last dimension only" in done.stdout


def test_pytest_is_not_needed() -> None:
    code = """
import sys
from anyloom.testing import ProjectorCase, check_component
results = check_component(ProjectorCase("anyloom.representation.projector.MLPProjector"))
print([r.verdict for r in results if r.verdict not in ("passed", "skipped")], "pytest" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=1800)
    assert done.stdout.strip() == "[] False"


TINY = """
import torch
from anyloom.conversation import Media
from anyloom.testing import EncoderCase

def encoder(folder):
    (folder / "vocabulary.txt").write_text("a tiny form may write files")
    media = [Media("scan", torch.arange(8.0) * n) for n in (1, 2)]
    return EncoderCase("kit", options={"dim": 3}, media=media)

def another(folder):
    return EncoderCase("other", media=[])
"""


def test_the_command_checks_the_tiny_form_that_a_record_names(
    publish: Install, capsys: pytest.CaptureFixture[str]
) -> None:
    publish("anyloom_kit", record(tiny="anyloom_kit.tiny:encoder"), parts=PARTS, tiny=TINY)
    assert main(["plugins", "check", "kit"]) == 0
    out = capsys.readouterr().out
    assert "encoder kit of anyloom-kit 1.0" in out
    assert "ok        features depend on the media" in out
    assert "failed" not in out.splitlines()[-1]


def test_the_command_names_demand_defect_and_cure(publish: Install, capsys: pytest.CaptureFixture[str]) -> None:
    publish("anyloom_kit", record(licence=""), parts=PARTS)
    assert main(["plugins", "check", "kit", "--kind", "encoder", "--failed"]) == 1
    out = " ".join(capsys.readouterr().out.split())
    assert "FAILED record is complete The record has a licence and a summary" in out
    assert "But the record has no licence. To fix: give the ComponentSpec a licence" in out
    assert "names no tiny form" in out
    assert "ok" not in out.split()


def test_the_command_refuses_a_tiny_form_of_something_else(
    publish: Install, capsys: pytest.CaptureFixture[str]
) -> None:
    publish("anyloom_kit", record(tiny="anyloom_kit.tiny:another"), parts=PARTS, tiny=TINY)
    assert main(["plugins", "check", "kit"]) == 2
    assert "return the case of the encoder 'kit'" in capsys.readouterr().err


def test_the_command_refuses_an_unknown_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plugins", "check", "no-such-part"]) == 2
    assert "no component is called 'no-such-part'" in capsys.readouterr().err


def test_general_checks_come_first() -> None:
    names = [c.name for c in checks_of(EncoderCase("kit", media=[scan(0)]))]
    assert names.index("record_is_complete") < names.index("builds") < names.index("is_deterministic")
    assert names.index("is_deterministic") < names.index("features_fit_the_declared_space")
    assert len(names) == len(set(names))
