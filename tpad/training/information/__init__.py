"""Mutual information: the bounds that alignment and disentanglement train on."""
