"""The browser app. Importing it switches Gradio's analytics off, before Gradio is imported."""

import os

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
