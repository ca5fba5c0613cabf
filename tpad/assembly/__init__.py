"""Assembling a vision-language model from a language model and a vision tower."""
