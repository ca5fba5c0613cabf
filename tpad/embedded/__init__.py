"""The embedded base model: its size, what it is pretrained on, and how well it reads."""
