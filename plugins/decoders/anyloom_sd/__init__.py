"""Pictures from feature tokens: Stable Diffusion's cross-attention on features instead of words."""
