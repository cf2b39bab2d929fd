"""Configuration: files merged by OmegaConf, validated by each component."""
