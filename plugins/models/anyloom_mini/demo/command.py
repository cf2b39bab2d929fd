"""``anyloom demo``: teach the shipped model something new, or train one from scratch; measure it, show what it does."""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from anyloom.cli.model_argument import shipped_weights
from anyloom.errors import ConfigError
from anyloom_mini.demo.plans import Plan, make_plan
from anyloom_mini.demo.run_state import RunState, digest_of

__all__ = ["main"]

_INTERRUPTED = 130
_LESSON, _SCRATCH = "lesson", "demo"


def main(arguments: list[str]) -> int:
    """Run the demo; returns the exit status."""
    options = _parse(arguments)
    overrides = [o for o in options.overrides if "=" in o]
    if len(overrides) < len(options.overrides):
        wrong = next(o for o in options.overrides if "=" not in o)
        raise ConfigError("an override is written key=value", where=wrong, fix="for example data.batch_size=4")
    recipe = options.recipe or _recipe(options.from_scratch)
    output = options.output or Path("runs") / ("lesson" if recipe == _LESSON else "demo")
    plan = make_plan(recipe, overrides, output, quick=options.quick, seed=options.seed)
    if options.fresh:
        _remove(output)
    state = RunState.load(output / "state.json")
    _announce(plan, state)
    try:
        return _run(plan, state, options.seed)
    except KeyboardInterrupt:
        again = " ".join(["anyloom demo", *(a for a in arguments if a != "--fresh")])
        _say(f"\nInterrupted. What was done is kept in {output}; to go on, run again:\n  {again}")
        return _INTERRUPTED


def _recipe(from_scratch: bool) -> str:
    """The recipe to run: a lesson for the trained model that ships, if there is one."""
    if from_scratch:
        return _SCRATCH
    if shipped_weights("mini") is not None:
        return _LESSON
    _say("No trained weights ship with this version, so a model is trained from scratch.")
    return _SCRATCH


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="anyloom demo",
        description="Take the small any-to-any model that ships with the project, teach it an edit it never saw, "
        "measure it before and after on subjects it never saw, and write a report with its answers; or train such a "
        "model from scratch. Interrupt it whenever you like: the next call goes on where it stopped.",
    )
    parser.add_argument("--from-scratch", action="store_true", help="train everything anew, from random numbers")
    parser.add_argument("--output", type=Path, help="folder of the run (runs/lesson; from scratch runs/demo)")
    parser.add_argument("--quick", action="store_true", help="a smoke run of a few steps, to see that all works")
    parser.add_argument("--fresh", action="store_true", help="forget what the folder holds and start anew")
    parser.add_argument("--seed", type=int, default=0, help="seed of everything (%(default)s)")
    parser.add_argument("--recipe", help="another recipe or YAML file with stages")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="changes to the recipe")
    return parser.parse_intermixed_args(arguments)


def _say(text: str = "") -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _remove(folder: Path) -> None:
    """Remove a run folder, and nothing else."""
    if folder.exists() and any(folder.iterdir()) and not (folder / "state.json").is_file():
        raise ConfigError("this folder holds no run of the demo", where=str(folder), fix="give another --output")
    shutil.rmtree(folder, ignore_errors=True)


def _announce(plan: Plan, state: RunState) -> None:
    """Say what will happen and how long it takes."""
    width = max(len(s.name) for s in plan.stages)
    known = all(s.seconds for s in plan.stages)
    expected = f"at most {_minutes(sum(s.seconds or 0 for s in plan.stages))}" if known else "some minutes"
    count = "1 stage" if len(plan.stages) == 1 else f"{len(plan.stages)} stages"
    measuring = f"about {_minutes(plan.settings.evaluation_seconds)} on two idle cores"
    _say(f"{plan.settings.title}\n{count}: {expected}, then measuring: {measuring}. Folder: {plan.output}")
    for stage in plan.stages:
        done = "done before" if state.record(stage.name).status == "complete" else _minutes(stage.seconds or 0)
        _say(f"  {stage.name:{width}}  {done:>11}  {stage.summary}")
    _say(f"  {'report':{width}}  {_minutes(plan.settings.evaluation_seconds):>11}  measures and shows answers\n")


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.1f} min" if seconds else "?"


def _run(plan: Plan, state: RunState, seed: int) -> int:
    from anyloom_mini.demo.stages import run_stages

    run_stages(plan, state, _say)
    page = plan.output / "report.html"
    digest = digest_of([state.record(plan.stages[-1].name).made, plan.settings.model_dump(mode="json")], plan.output)
    if state.report.get("digest") == digest and page.is_file():
        _say("Everything was done before (--fresh starts anew).")
    else:
        headlines = _write_page(plan, state, page, seed)
        state.report = {"digest": digest, "headlines": headlines}
        state.save()
    _say("\n" + "\n".join(f"  {line}" for line in state.report["headlines"]))
    _say(f"\nReport: {page.resolve()}")
    return 0


def _write_page(plan: Plan, state: RunState, page: Path, seed: int) -> list[str]:
    """Evaluate and write the report; returns its headlines as lines."""
    from anyloom.report import write_report
    from anyloom_mini.demo.evaluation import evaluate
    from anyloom_mini.demo.page import make_report

    started = time.monotonic()
    evaluation = evaluate(plan, seed, _Line())
    report = make_report(plan, state, evaluation, seed)
    write_report(page, report)
    _say(f"{_CLEAR}report  ✔ {_minutes(time.monotonic() - started)}")
    return [f"{h.value:>8}  {h.label}: {h.note}" for h in report.headlines]


_CLEAR = "\r\x1b[2K" if sys.stdout.isatty() else ""


class _Line:
    """What is being done, on one line that is overwritten; without a terminal a line per task."""

    def __init__(self) -> None:
        self._last = ""

    def __call__(self, doing: str, share: float) -> None:
        if _CLEAR:
            sys.stdout.write(f"{_CLEAR}{doing}  {min(share, 1.0):4.0%}")
        elif doing != self._last:
            sys.stdout.write(doing + "\n")
        self._last = doing
        sys.stdout.flush()
