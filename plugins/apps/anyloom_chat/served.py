"""Files of a conversation as the page may show them."""

from __future__ import annotations

import zipfile
from pathlib import Path

__all__ = ["packed", "served"]


def packed(record: Path) -> Path:
    """A conversation as one file beside its record: the record and its media."""
    made = record.with_name("session.zip")
    with zipfile.ZipFile(made, "w") as file:
        for path in sorted([record, *record.parent.glob("media/*")]):
            if not path.is_symlink():  # what it points to may be no part of the conversation
                file.write(path, path.relative_to(record.parent))
    return made


def served(file: Path) -> str:
    """A copy of a file in Gradio's own folder; the path of the copy.

    Gradio serves what lies there. From elsewhere it takes files below the current and the temporary folder only, so a
    conversation that is kept elsewhere would not be shown; and to allow that place would serve all that lies in it.
    """
    from gradio.processing_utils import save_file_to_cache  # the page says first that nothing is to be sent anywhere
    from gradio.utils import get_upload_folder

    return str(save_file_to_cache(file, get_upload_folder()))
