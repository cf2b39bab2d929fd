"""The starter pack: small, real, freely licensed pictures and sounds, and the data set made from them."""
