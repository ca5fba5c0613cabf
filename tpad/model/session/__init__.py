"""The session recommender: the network, and the trained recommender."""
