"""Splits of a dataset: how they are made, saved, and checked for leaks."""
