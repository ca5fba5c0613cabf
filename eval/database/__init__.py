"""The results database: what is kept of every run, and how it is opened, written and asked."""
