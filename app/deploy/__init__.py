"""Putting the app on Hugging Face Spaces."""
