"""Tasks: pure functions of the records of a source and a seed."""
