"""Splits of a dataset's sessions: how they are made, stored, and proved free of leaks."""
