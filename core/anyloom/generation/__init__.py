"""Free-running answers."""
