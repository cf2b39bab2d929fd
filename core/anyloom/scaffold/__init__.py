"""The start of a plugin: a package that works, with comments where it is to be changed. Imports nothing heavy."""

from anyloom.scaffold.names import KINDS, PluginNames, check_free, plugin_names
from anyloom.scaffold.project import render, write_project

__all__ = ["KINDS", "PluginNames", "check_free", "plugin_names", "render", "write_project"]
