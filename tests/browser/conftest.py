"""A real browser with the network cable out, for every test of the page."""

import os
import shutil

import pytest

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
CUT_OFF = ("AbortError: signal is aborted", "Unexpected error Connection errored out")
"""What Gradio says of requests that a reload has cut off."""
UNNAMED = "fieldset:has(input[type=radio]):not([role=radiogroup])"
PATIENCE = 120_000  # milliseconds; a busy machine is no fault


@pytest.fixture(scope="module")
def browser():
    # Not for the session: while it is open, no other test of this process can use asyncio.
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if not os.access(CHROMIUM, os.X_OK):
        pytest.skip("Chromium is not installed (apt install chromium)")
    sync_api.expect.set_options(timeout=PATIENCE)
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser):
    """Opens an address for a new visitor; at the end no error and no foreign request was seen."""
    contexts, faults = [], []

    def open_page(address: str, **options):
        options.setdefault("viewport", {"width": 1280, "height": 800})
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on(
            "console",
            lambda m: (
                faults.append(m.text)
                if m.type == "error" and not m.text.startswith(CUT_OFF)
                else None
            ),
        )

        def only_here(route):
            url = route.request.url
            if url.startswith((address.split("?")[0], "data:", "blob:")):
                route.continue_()
            else:
                faults.append(f"asked for {url}")
                route.abort()

        page.route("**/*", only_here)
        page.goto(address)
        # An address may open another tab before these are ever seen.
        page.locator("#next .tp-card").first.wait_for(
            state="attached" if "tab=" in address else "visible"
        )
        # page.js names the groups of radio buttons, and handles the keys from then on.
        page.wait_for_function(f"!document.querySelector('{UNNAMED}')")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert faults == []


@pytest.fixture
def visit(open_page, address):
    """Opens the page of the file's `address` for a new visitor."""
    return lambda query="", **options: open_page(address + query, **options)


@pytest.fixture(scope="session")
def open_tab():
    """Opens a tab of the page, one that a phone keeps in its menu too."""

    def open_tab(page, name: str) -> None:
        tab = page.get_by_role("tab", name=name)
        if not tab.is_visible():
            page.locator(".overflow-menu > button").first.click()
            tab = page.locator(".overflow-dropdown").get_by_text(name)
        tab.click()

    return open_tab
