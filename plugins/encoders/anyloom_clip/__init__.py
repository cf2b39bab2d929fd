"""Encoders trained against text: CLIP for pictures and CLAP for sounds, through transformers."""
