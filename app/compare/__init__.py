"""The Compare tab: one session, several embeddings, side by side."""
