"""What diffusion decoders share: objective, sampling, conditions, latents. Knows no modality and no plugin."""
