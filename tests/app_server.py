"""The app's page, served in the test's own process."""


def launched(page, **options) -> str:
    """Serves a page on a free port until `page.close()`; gives its address, without a last slash."""
    from app.ui import launch_options

    _, url, _ = page.launch(
        server_name="127.0.0.1",
        prevent_thread_lock=True,
        quiet=True,
        **launch_options(page),
        **options,
    )
    return url.rstrip("/")
