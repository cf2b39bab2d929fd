"""Sound from features: the latent diffusion of AudioLDM2, in any size."""
