"""The recipes of CoDi-2 in full size."""
