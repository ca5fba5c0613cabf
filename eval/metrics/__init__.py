"""Metrics: ranks, lists, calibration, slices, means and their significance."""
