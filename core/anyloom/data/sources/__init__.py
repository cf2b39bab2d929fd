"""Sources: records by index in the layouts data sets are published in, each with an index that is built once."""

from anyloom.data.sources.blob import Blob
from anyloom.data.sources.folder import FolderGroups
from anyloom.data.sources.json_file import JsonFile
from anyloom.data.sources.jsonl import JsonLines
from anyloom.data.sources.lines import Lines
from anyloom.data.sources.parquet import ParquetRows
from anyloom.data.sources.tar import TarGroups

__all__ = ["Blob", "FolderGroups", "JsonFile", "JsonLines", "Lines", "ParquetRows", "TarGroups"]
