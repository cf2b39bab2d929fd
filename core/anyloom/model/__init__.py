"""The assembled model: interleave, encode, project, LLM, project, losses or decode."""
