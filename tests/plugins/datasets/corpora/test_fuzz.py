"""Whatever a row holds, a reader gives a record or says why it cannot be used; nothing else is raised."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from anyloom.errors import BadRecord, ConversationError
from anyloom_corpora.media import MediaFolder
from anyloom_corpora.readers.audioset import AudioSetSource
from anyloom_corpora.readers.captioned import CaptionedSource
from anyloom_corpora.readers.chats import ChatSource
from anyloom_corpora.readers.instruct_pix2pix import EditRows
from anyloom_corpora.readers.kosmos_g import KosmosGSource
from anyloom_corpora.readers.mimic_it import MimicItSource
from anyloom_corpora.readers.shards import TableCells
from anyloom_corpora.readers.texts import AlpacaSource

KEY_WORDS = """
    messages conversations images audios videos role content from value type text path url image image_url input_audio
    data format system id instruction input output input_image output_image input_images output_audio caption file
    positive_labels start_seconds end_seconds ytid image_ids answer rel_ins_ids __key__ edit_prompt original_image
    edited_image bytes jpg txt status key error_message fields
"""
KEYS = KEY_WORDS.split()
NAMES = ("a.jpg", "../a", "/a", "http://x/a.png", "data:image/png;base64,AAAA", "data:,", "\0", "/m/0", "1.5", "sixty")
ROLES = ("user", "assistant", "human", "gpt", "text", "image", "audio")
WORDS = st.sampled_from((*NAMES, *ROLES, "<image>", "<video> and <audio>", "", " ", "ü", "\ud7ff"))
SCALAR = st.none() | st.booleans() | st.integers(-3, 99) | st.floats() | WORDS | st.binary(max_size=8)
VALUE = st.recursive(
    SCALAR,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5),
    max_leaves=12,
)
ROW = st.dictionaries(st.sampled_from(KEYS), VALUE, max_size=8)


class NoRows:
    """Rows that a source is made of but does not read here."""

    shards = ()
    files = ()
    path = Path(__file__)

    def __len__(self):
        return 0

    def name(self, index):
        return ""

    def names(self):
        return iter(())


def makers(root: Path):
    folder = MediaFolder(root)
    return {
        "alpaca": AlpacaSource(NoRows(), folder, {}),
        "captioned": CaptionedSource(NoRows(), folder, {"image": ("{file}", "x/{key[0]}")}, "caption", key="id"),
        "audioset": AudioSetSource(NoRows(), folder, {"audio": ("{ytid}.wav",)}, {"/m/0": "Dog"}),
        "chats": ChatSource(NoRows(), folder),
        "edits": EditRows(NoRows(), folder, {}),
        "cells": TableCells(NoRows(), folder, ("image",), "caption"),
        "mimic-it": MimicItSource(NoRows(), folder, None, None),
    }


@pytest.mark.parametrize("name", ["alpaca", "captioned", "audioset", "chats", "edits", "cells", "mimic-it"])
def test_rows_of_anything(tmp_path, name):
    source = makers(tmp_path)[name]

    @settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
    @given(row=ROW)
    def check(row):
        try:
            record = source.record({"__key__": "k", **row}, "row 1")
        except (BadRecord, ConversationError):
            return
        assert isinstance(record, dict)

    check()


@pytest.mark.parametrize("form", ["composition", "edit", "caption"])
def test_lines_of_anything(tmp_path, form):
    source = KosmosGSource(NoRows(), MediaFolder(tmp_path), form)

    @settings(max_examples=100, deadline=None)
    @given(fields=st.lists(WORDS | st.text(max_size=6), min_size=1, max_size=8))
    def check(fields):
        try:
            source.record({"fields": fields}, "line 1")
        except BadRecord:
            return

    check()
