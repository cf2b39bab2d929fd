"""Baselines: what a model must be better than, and what the paper's tables are compared with."""
