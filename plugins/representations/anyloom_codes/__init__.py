"""Media as codes: a VQ autoencoder turns pictures into numbers of a codebook, the LLM predicts them like words."""
