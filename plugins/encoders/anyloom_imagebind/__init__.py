"""ImageBind (arXiv 2305.05665): pictures, clips, sounds, text, depth, heat and motion in one feature space."""
