"""Reports of stored runs as Markdown, HTML, CSV or LaTeX."""
