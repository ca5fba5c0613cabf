"""The Recommend tab: the catalogue, what comes next, and why."""
