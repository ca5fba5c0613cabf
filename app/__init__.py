"""The browser app. Importing it turns off Gradio's analytics before Gradio is imported."""

import os

from tpad.environment import forget_blank_variables

forget_blank_variables()
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
