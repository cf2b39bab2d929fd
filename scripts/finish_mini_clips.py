"""Puts the two results of the recipe mini-clips together: the language model, and the decoder of clips.

python scripts/finish_mini_clips.py runs/mini-clips        writes runs/mini-clips/model
"""

from __future__ import annotations

import argparse
from pathlib import Path

from anyloom import AnyToAnyModel
from anyloom.model.saving import start_from


def finished(run: Path) -> AnyToAnyModel:
    """The model of the recipe: everything from the stage ``model`` but the decoder of clips, which is the stage's."""
    model = AnyToAnyModel.from_config("mini-clips", [f"variables.run={run}"])
    start_from(model.parts, run / "language", ["llm", "representations"])
    return model


def main() -> None:
    """Write the folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of the run, as in variables.run")
    run = parser.parse_args().run
    finished(run).save_pretrained(run / "model", include_frozen=False)
    print(f"{run}: model")


if __name__ == "__main__":
    main()
