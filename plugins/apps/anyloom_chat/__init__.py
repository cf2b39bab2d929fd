"""Conversations with a model: a terminal, a page in the browser, sessions that can be replayed."""
