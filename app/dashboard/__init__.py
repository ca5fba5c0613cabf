"""The Dashboard tab: what the results database holds."""
