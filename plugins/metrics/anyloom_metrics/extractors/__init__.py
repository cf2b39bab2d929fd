"""Networks that metrics look through. Each is an encoder, so any other encoder can stand in its place.

Weights are safetensors: a file in the layout of the published checkpoint, or a folder that transformers saved. Without
weights a network is random, which is good for nothing but tests; metrics flag their numbers then.
"""
