"""The records of this plugin. Light: the builder is imported when a config names it."""

from __future__ import annotations

from anyloom.discovery import ComponentSpec, hookimpl


@hookimpl
def anyloom_components() -> list[ComponentSpec]:
    """The starter data set, clips of its pictures, and three sets of questions about its media."""
    return [
        ComponentSpec(
            kind="dataset",
            name="starter",
            target="anyloom_starter.builder:StarterBuilder",
            tiny="anyloom_starter.tiny:dataset",
            modalities=("image", "audio"),
            requires=("PIL", "soundfile", "soxr"),
            licence="Apache-2.0 AND CC-BY-4.0 AND MIT AND CC0-1.0",
            summary="Conversations about 7,572 emoji pictures and 127 short sounds that ship with the project",
        ),
        ComponentSpec(
            kind="dataset",
            name="starter-inference",
            target="anyloom_starter.inference:InferenceBuilder",
            tiny="anyloom_starter.tiny:inference",
            modalities=("image",),
            requires=("PIL",),
            licence="Apache-2.0 AND CC-BY-4.0",
            summary="CoBSAT's question to pictures of the starter pack: what do the examples have in common?",
        ),
        ComponentSpec(
            kind="dataset",
            name="starter-clips",
            target="anyloom_starter.clips_builder:ClipsBuilder",
            tiny="anyloom_starter.tiny:clips",
            modalities=("image", "audio", "video"),
            requires=("PIL", "soundfile", "soxr"),
            licence="Apache-2.0 AND CC-BY-4.0 AND MIT AND CC0-1.0",
            summary="Pictures of the starter pack that move, turn, grow, fade and flash in short clips, with sounds",
        ),
        ComponentSpec(
            kind="dataset",
            name="starter-sweep",
            target="anyloom_starter.sweep:SweepBuilder",
            tiny="anyloom_starter.tiny:sweep",
            modalities=("image", "audio", "video"),
            requires=("PIL", "soundfile", "soxr"),
            licence="Apache-2.0 AND CC-BY-4.0 AND MIT AND CC0-1.0",
            summary="Edits of pictures, sounds and clips shown by 0 to 8 examples, of seen and unseen subjects",
        ),
        ComponentSpec(
            kind="dataset",
            name="starter-story",
            target="anyloom_starter.story:StoryBuilder",
            tiny="anyloom_starter.tiny:story",
            modalities=("image", "audio"),
            requires=("PIL", "soundfile", "soxr"),
            licence="Apache-2.0 AND CC-BY-4.0 AND MIT AND CC0-1.0",
            summary="Stories of three rounds: an edit shown, the answer edited again, a sound; each beside its control",
        ),
    ]
