"""Runs: fits and evaluates models, stores the results, and selects and compares stored runs."""
