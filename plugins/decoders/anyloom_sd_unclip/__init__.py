"""Pictures from features: the image decoder of Stable Diffusion 2.1 unCLIP, in any size."""
