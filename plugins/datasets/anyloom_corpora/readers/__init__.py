"""Readers of published data sets, one for each layout."""
