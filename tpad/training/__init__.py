"""From a dataset and a base model to a bundle: the stages and what they share."""
