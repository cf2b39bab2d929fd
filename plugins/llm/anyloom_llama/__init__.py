"""Causal language models of the transformers library as the engine of an any-to-any model."""
