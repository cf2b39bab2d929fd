"""The suites of this package; each is a YAML file beside this one."""

from __future__ import annotations

from typing import Final

from anyloom.discovery import RecipeSpec, hookimpl

_SUITES: Final = (
    ("dreambench", "subjects in new scenes, by KOSMOS-G's protocol (Table 4)"),
    ("dreambench-all", "the same, compared with all pictures of a subject (DreamBooth's protocol)"),
    ("coco-edit", "edits of pictures by instruction: directional similarity (Table 4)"),
    ("audio-edit", "edits of sounds: add, drop, replace; LSD, KL, FD (Table 5)"),
    ("cobsat", "CoBSAT: inference in context, ten tasks"),
    ("cobsat-mini", "the same question to pictures that ship"),
    ("prompts", "media from prompts, such as GenEval's list: CLIP-T"),
    ("caption", "captions of pictures: BLEU, ROUGE-L, CIDEr"),
    ("retrieval", "pictures from captions, found among all others"),
    ("multi-round", "an edit, then an edit of the answer"),
    ("joint", "clips with sound: do they fall together?"),
    ("interleaved", "interleaved answers: which media, how many, in which order"),
)

_SHIPPED: Final = ("cobsat-mini",)  # needs no data from elsewhere


@hookimpl
def anyloom_recipes() -> list[RecipeSpec]:
    """One recipe a suite."""
    return [
        RecipeSpec(
            name=name,
            package="anyloom_suites",
            path=f"{name}.yaml",
            summary=f"suite: {summary}",
            command=f"anyloom evaluate MODEL --suite {name}" + ("" if name in _SHIPPED else " variables.data=FOLDER"),
        )
        for name, summary in _SUITES
    ]
