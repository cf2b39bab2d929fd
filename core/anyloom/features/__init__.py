"""Features of frozen encoders, kept so that nothing is encoded twice."""
