"""The session recommender: the network, and a fitted one in use."""
