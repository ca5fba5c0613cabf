"""What a bundle computes with: from an item's content to its embeddings. It knows nothing of training."""
