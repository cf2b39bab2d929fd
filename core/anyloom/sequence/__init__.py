"""Conversations as sequences: tags, interleaving, batches."""
