"""A JSON schema of configuration files with everything that is installed, for YAML editors."""

from anyloom.json_schema.document import config_schema

__all__ = ["config_schema"]
