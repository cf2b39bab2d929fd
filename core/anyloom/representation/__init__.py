"""Representations of the paper: regression of continuous features, step by step or all at once."""
