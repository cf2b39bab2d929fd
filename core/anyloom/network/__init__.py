"""The network: interleave, encode, project, LLM, project, losses."""
