"""Media as the answers of learned queries: the LLM reads the same queries for every medium it is to make."""
