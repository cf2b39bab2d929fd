"""``anyloom demo``: trains a recipe stage by stage, measures the model on what it never saw, writes a page about it."""
