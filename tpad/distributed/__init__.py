"""Training on several processes, each with the whole model or with a part of its layers."""
