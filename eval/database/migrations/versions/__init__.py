"""One file for each version; what is released here is never edited again."""
