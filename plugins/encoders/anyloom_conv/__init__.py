"""A small convolutional encoder for pictures and sounds: principal components for layout, a tower for meaning."""
