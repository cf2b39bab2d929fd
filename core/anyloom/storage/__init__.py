"""Files that hold results: written whole or not at all, hashed, checked when they are read."""
