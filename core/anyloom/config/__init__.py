"""Configuration: files merged, expressions resolved, every size limited; each component validates its own options."""
