"""Features of the words that describe a medium, by any encoder of text."""
