"""Ablations: the method with one part removed or changed."""
