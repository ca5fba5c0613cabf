"""The models of a bundle: they compute embeddings of items and rank them. Nothing here trains them."""
