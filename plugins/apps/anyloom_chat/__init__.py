"""Talking to a model, and making its answers again."""
