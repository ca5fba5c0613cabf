"""The stages of training; each file has one stage with its settings, or helpers of stages."""
