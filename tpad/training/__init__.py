"""Trains a bundle from a dataset and a base model: the stages, and the code that they share."""
