"""The app's API for `gradio_client`, HTTP and, on request, MCP clients."""
