"""The embedded base model: its architecture, its pretraining, and its evaluation."""
