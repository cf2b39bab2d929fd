"""The records of this plugin. Light: the classes are imported when a config names them."""

from __future__ import annotations

from anyloom.discovery import CommandSpec, ComponentSpec, hookimpl


@hookimpl
def anyloom_components() -> list[ComponentSpec]:
    """Tasks over any source, readers of published layouts, and the text-feature modality."""
    return [
        ComponentSpec(
            kind="modality",
            name="text-feature",
            target="anyloom_corpora.text_feature:TextFeatureIO",
            tiny="anyloom_corpora.tiny:texts",
            modalities=("text-feature",),
            licence="Apache-2.0",
            summary="A piece of text that stands in a conversation as features of the text encoder",
            suffixes=(".txt",),
        ),
        _set("tasks", "component:TasksBuilder", "tasks", "Chosen tasks over the records of any other data set"),
        _set("alpaca", "readers.texts:Alpaca", "alpaca", "Alpaca: instructions without media (CC-BY-NC-4.0)"),
        _set("archives", "readers.archives:Archives", "archives", "What 'anyloom data build' has written"),
        _set("audiocaps", "readers.captioned:AudioCaps", "audiocaps", "AudioCaps: csv and sounds", ("audio",)),
        _set("audioset", "readers.audioset:AudioSet", "audioset", "AudioSet: segment lists and sounds", ("audio",)),
        _set("captioned", "readers.captioned:Captioned", "captioned", "Any table with captions and names of media"),
        _set(
            "chats",
            "readers.chats:Chats",
            "chats",
            "Conversations in six common forms of JSON",
        ),
        _set("cobsat", "readers.cobsat:Cobsat", "cobsat", "CoBSAT: ten tasks of inference in context", ("image",)),
        _set(
            "dream-bench",
            "readers.dream_bench:DreamBench",
            "dream_bench",
            "DreamBench: subjects and prompts",
            ("image",),
        ),
        _set(
            "instruct-pix2pix",
            "readers.instruct_pix2pix:InstructPix2Pix",
            "instruct_pix2pix",
            "InstructPix2Pix: folders of seeds, or the hub's parquet",
            ("image",),
        ),
        _set(
            "kosmos-g",
            "readers.kosmos_g:KosmosG",
            "kosmos_g",
            "Kosmos-G's tsv files",
            ("image",),
        ),
        _set("laion", "readers.shards:Laion", "laion", "LAION-400M as img2dataset writes it", ("image",)),
        _set(
            "mimic-it",
            "readers.mimic_it:MimicIt",
            "mimic_it",
            "MIMIC-IT: instructions with in-context sets",
            ("image",),
        ),
        _set(
            "mimic-it-mix",
            "readers.mimic_it_mix:MimicItMix",
            "mimic_it_mix",
            "MIMIC-IT's subsets by Otter's mix file",
            ("image",),
        ),
        _set(
            "open-images",
            "readers.open_images:OpenImages",
            "open_images",
            "OpenImages V7 with masks: composition",
            ("image",),
        ),
        _set("prompts", "readers.prompts:Prompts", "prompts", "Prompts from a table, whose answers nobody knows"),
        _set("shards", "readers.shards:Shards", "shards", "webdataset tars, folders or parquet of media with captions"),
        _set("webvid", "readers.captioned:WebVid", "webvid", "WebVid-like csv and clips", ("video",), ("av",)),
        ComponentSpec(
            kind="dataset",
            name="hf",
            target="anyloom_corpora.readers.hub:HubSet",
            requires=("datasets",),
            licence="Apache-2.0",
            summary="A data set of the Hugging Face hub, streamed, where a download is allowed",
        ),
    ]


@hookimpl
def anyloom_commands() -> list[CommandSpec]:
    """Tiny data sets to look at."""
    return [
        CommandSpec(
            name="layouts",
            target="anyloom_corpora.command:main",
            summary="write tiny data sets in every layout that a reader takes",
        )
    ]


def _set(
    name: str,
    target: str,
    tiny: str,
    summary: str,
    modalities: tuple[str, ...] = (),
    requires: tuple[str, ...] = (),
) -> ComponentSpec:
    """Return the record of a data set; the licence is the reader's, that of the data stands in docs/guide/data.md."""
    return ComponentSpec(
        kind="dataset",
        name=name,
        target=f"anyloom_corpora.{target}",
        tiny=f"anyloom_corpora.tiny:{tiny}",
        modalities=modalities,
        requires=requires,
        licence="Apache-2.0",
        summary=summary,
    )
