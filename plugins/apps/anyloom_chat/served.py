"""Files of a conversation as the page may show them."""

from __future__ import annotations

from pathlib import Path

__all__ = ["served"]


def served(file: Path) -> str:
    """A copy of a file in Gradio's own folder; the path of the copy.

    Gradio serves what lies there. From elsewhere it takes files below the current and the temporary folder only, so a
    conversation that is kept elsewhere would not be shown; and to allow that place would serve all that lies in it.
    """
    from gradio.processing_utils import save_file_to_cache  # the page says first that nothing is to be sent anywhere
    from gradio.utils import get_upload_folder

    return str(save_file_to_cache(file, get_upload_folder()))
