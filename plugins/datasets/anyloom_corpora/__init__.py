"""Published data sets in the layouts they come in, and tasks that turn the records of any source into conversations."""
