"""The mini model: CoDi-2 so small that two cores train it, with its recipes and weights, and the demo that shows it."""
