"""The models that are compared: those of a bundle, given vectors, encoders, outside lists."""
