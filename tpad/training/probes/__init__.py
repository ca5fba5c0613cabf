"""What linear probes read from features: facts about items, and what follows what."""
