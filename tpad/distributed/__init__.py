"""Training on several processes, each with a copy of the model or with shards of its layers."""
