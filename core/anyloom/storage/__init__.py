"""Tensors and files on disk: safetensors, hashes, writing whole or not at all."""
