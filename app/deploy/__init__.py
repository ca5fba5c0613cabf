"""Deploys the app to Hugging Face Spaces."""
