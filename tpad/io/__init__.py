"""Files that appear whole or not at all, and the formats that are written in several places."""
