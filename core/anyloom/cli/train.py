"""``anyloom fit | validate | test | predict``: lightning's loops on composed configs."""

from __future__ import annotations

import argparse
import os
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

from anyloom.cli.arguments import Sources, add_config_arguments, split_sources
from anyloom.cli.console import note, quiet
from anyloom.cli.outputs import free_folder, ready_folder
from anyloom.config.files import require_stages
from anyloom.config.yaml_text import write_yaml
from anyloom.errors import ConfigError

__all__ = ["fit", "predict", "test", "validate"]


def fit(arguments: list[str]) -> int:
    """Train."""
    return _run("fit", arguments)


def validate(arguments: list[str]) -> int:
    """Run the validation loop."""
    return _run("validate", arguments)


def test(arguments: list[str]) -> int:
    """Run the test loop."""
    return _run("test", arguments)


def predict(arguments: list[str]) -> int:
    """Generate answers for the test split and write them as conversations."""
    return _run("predict", arguments)


def _run(subcommand: str, arguments: list[str]) -> int:
    options = _parser(subcommand).parse_intermixed_args(arguments)
    sources = split_sources(options)
    sections = sources.compose()
    stages = {name: _stage(sources, name) for name in sections.get("stages") or {}}
    names = [options.stage]
    if subcommand != "fit":
        names = [_trained_stage(sections, stages, options.stage)]
    elif options.stage == "all":
        if not stages:
            raise ConfigError("the config has no stages", where="--stage", fix="leave --stage all out")
        if _named_results(sources):
            what = "all stages would write to one folder"
            raise ConfigError(what, where="result", fix="leave result= out, or name one --stage")
        names = list(stages)
    elif options.stage is not None and options.stage not in stages:
        sources.compose(options.stage)  # names the stages that there are
    answers = None
    if getattr(options, "output", None) is not None and not options.print_config:
        answers = ready_folder(free_folder(options.output, "answers.jsonl"))
    results = _named_results(sources)
    command = shlex.join(["anyloom", subcommand, *(word for word in options.sources if word not in results)])
    for name in names:
        composed = dict(stages[name] if name else sections)
        composed.pop("stages", None)
        if options.print_config:
            print(write_yaml(composed))
            continue
        if subcommand == "fit":
            require_stages(composed, _written(sources, stages), command, stage=name)
        _run_stage(subcommand, composed, answers, safe=options.safe)
    return 0


def _parser(subcommand: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"anyloom {subcommand}", description=f"{subcommand} with lightning")
    add_config_arguments(parser)
    text = "or 'all' to run each in turn" if subcommand == "fit" else "by default the last that has been trained"
    parser.add_argument("--stage", help=f"a stage of the recipe, {text}")
    if subcommand == "predict":
        text = "folder for answers; where it has some, the next free number"
        parser.add_argument("--output", type=Path, default=Path("predictions"), help=text)
    parser.add_argument("--print-config", action="store_true", help="print the composed config and stop")
    return parser


def _stage(sources: Sources, name: str) -> dict[str, Any]:
    composed = sources.compose(name)
    composed.pop("stages", None)
    return composed


def _named_results(sources: Sources) -> list[str]:
    return [o for o in sources.overrides if o.startswith("result=")]


def _written(sources: Sources, stages: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The stages as they were run before: where this one writes is not where those have written."""
    results = _named_results(sources)
    if not results:
        return stages
    before = replace(sources, overrides=[o for o in sources.overrides if o not in results])
    return {name: _stage(before, name) for name in stages}


def _run_stage(subcommand: str, sections: dict[str, Any], answers: Path | None, *, safe: bool) -> None:
    from anyloom.building import registered_names_only
    from anyloom.training.run import run

    if quiet():
        trainer = sections.get("trainer") or {}
        sections = {**sections, "trainer": {"enable_progress_bar": False, "enable_model_summary": False, **trainer}}
    with registered_names_only(safe):
        run(subcommand, sections, answers=answers)


def _trained_stage(sections: dict[str, Any], stages: dict[str, dict[str, Any]], asked: str | None) -> str | None:
    """The stage whose weights are used; None where the sections themselves, without a stage, name some.

    Raises:
        anyloom.errors.ConfigError: The recipe has stages, and neither they nor it have weights.
    """
    if asked is not None and asked not in stages:
        known = ", ".join(stages) or "none"
        raise ConfigError(f"there is no stage {asked!r}", where="stages", fix=f"stages: {known}")
    if asked is None and (not stages or _has_weights(sections)):
        return None
    for name in [asked] if asked is not None else reversed(stages):
        if asked is not None and _has_weights(stages[name]):
            return name
        if _is_folder(stages[name].get("result")):
            note(f"stage: {name}")
            return name
    what = "no stage has been trained yet" if asked is None else f"the stage {asked!r} has not been trained yet"
    fix = "run 'anyloom fit' with --stage first, or give ckpt_path or module.start_from"
    raise ConfigError(what, where="stages", fix=fix)


def _has_weights(sections: dict[str, Any]) -> bool:
    """Whether there is a checkpoint, a result or something to start from."""
    module = sections.get("module")
    begin = module.get("start_from") if isinstance(module, dict) else None
    begins = _is_folder(begin.get("folder") if isinstance(begin, dict) else begin)
    return bool(sections.get("ckpt_path")) or begins or _is_folder(sections.get("result"))


def _is_folder(path: object) -> bool:
    return isinstance(path, str) and os.path.isdir(path)
