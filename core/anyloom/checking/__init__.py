"""Everything that can be said about a configuration before any weight loads."""
