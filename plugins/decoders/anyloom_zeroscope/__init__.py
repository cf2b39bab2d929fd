"""Video from features: the latent diffusion of zeroscope, in any size."""
