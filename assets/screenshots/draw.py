"""Draws the README's pictures and the animated walk-through from the app itself.

    python assets/screenshots/draw.py [--walk]

With --walk the walk-through alone. Needs Chromium and playwright (`pip install -e ".[test]"`). The app is started with the demo shop, on
a free port and without storing anything; pictures replace those in this folder.
"""

import io
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
ARRIVAL = ROOT / "assets" / "demo" / "arrivals" / "arrival-03.webp"
CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
LAPTOP = {"viewport": {"width": 1280, "height": 800}}
PHONE = {
    "viewport": {"width": 390, "height": 844},
    "device_scale_factor": 2,
    "is_mobile": True,
    "has_touch": True,
}
WALK_SIZE = (1024, 640)
READ = 2200  # milliseconds that a step of the walk-through stands

# A line that says what is done, and a dot where it is clicked; both only for the pictures.
STAGE = """([text, x, y]) => {
  document.querySelectorAll('.walk').forEach((one) => one.remove());
  const add = (style, content) => {
    const one = document.createElement('div');
    one.className = 'walk';
    one.style.cssText = 'position:fixed;z-index:99999;pointer-events:none;' + style;
    one.textContent = content;
    // A dialog lies above everything else that is not within it.
    (document.querySelector('dialog[open]') || document.body).append(one);
  };
  add('left:50%;bottom:22px;transform:translateX(-50%);background:#10151fee;color:#fff;' +
      'font:600 21px/1.3 system-ui,sans-serif;padding:12px 24px;border-radius:12px;' +
      'box-shadow:0 6px 24px #0006;white-space:nowrap', text);
  if (x !== null) add(`left:${x - 15}px;top:${y - 15}px;width:30px;height:30px;border-radius:50%;` +
      'background:#e69f0099;border:3px solid #fff;box-shadow:0 0 0 2px #e69f00', '');
}"""


class Walk:
    """The steps of the walk-through, as frames.

    Args:
        page: what is walked through.
    """

    def __init__(self, page: Page) -> None:
        self.page = page
        self.frames: list[Image.Image] = []
        self.times: list[int] = []

    def show(self, text: str, milliseconds: int = READ, at: str | None = None) -> None:
        """One frame, with a line of text, and a dot on the element `at`."""
        x = y = None
        if at is not None:
            target = self.page.locator(at).first
            target.scroll_into_view_if_needed()
            box = target.bounding_box()
            if box:
                x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        self.page.evaluate(STAGE, [text, x, y])
        frame = Image.open(io.BytesIO(self.page.screenshot()))
        self.frames.append(frame.convert("RGB").resize(WALK_SIZE, Image.Resampling.LANCZOS))
        self.times.append(milliseconds)
        self.page.evaluate("document.querySelectorAll('.walk').forEach((one) => one.remove())")

    def click(self, text: str, at: str) -> None:
        """A frame with the dot on `at`, which is then clicked."""
        self.show(text, 1100, at)
        self.page.locator(at).first.click()

    def save(self, path: Path) -> None:
        """Writes the animation, which repeats for ever."""
        self.frames[0].save(
            path,
            save_all=True,
            append_images=self.frames[1:],
            duration=self.times,
            loop=0,
            quality=68,
            method=6,
        )


def walk_through(browser: Browser, address: str) -> None:
    """From a session to the leaderboard in some twenty steps."""
    page = opened(browser, address, **LAPTOP)
    walk = Walk(page)
    walk.show("A shopper’s session, and what TPAD thinks comes next")
    walk.click("Click a product: it joins the session …", "#catalogue .tp-card >> nth=7")
    settled(page)
    walk.show("… and the list follows")
    walk.click("Show more new items", "label:has(input[type=radio]):has-text('20%')")
    settled(page)
    cold = "#next .tp-rec:has(.tp-badge-cold) .tp-why"
    walk.click("Nobody ever clicked this one. Why is it here?", cold)
    page.locator("#why dialog[open]").wait_for()
    settled(page)
    walk.show("What each product of the session added to it", READ + 800)
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Add a picture of your own").click()
    page.locator("#own-picture input[type=file]").first.set_input_files(ARRIVAL)
    settled(page)
    walk.click("A picture that is in no catalogue …", "#own-add")
    page.locator("#session .tp-badge-new").first.wait_for()
    settled(page)
    page.get_by_role("button", name="Add a picture of your own").click()
    page.evaluate("scrollTo(0, 0)")
    settled(page)
    walk.show("… is read once, and counts like any other")
    page.get_by_role("button", name="Undo the last change").click()
    settled(page)
    walk.click("Compare with other embeddings", "button[role=tab]:has-text('Compare')")
    page.locator("#compare .tp-col").first.wait_for()
    page.locator("#map .js-plotly-plot").wait_for()
    settled(page)
    walk.show("The same session, four embeddings side by side", READ + 600)
    page.locator("#map").scroll_into_view_if_needed()
    settled(page)
    walk.show("The catalogue as a map, with the session’s path")
    page.evaluate("scrollTo(0, 0)")
    walk.click("Rate cold-start cases", "button[role=tab]:has-text('Cold-start')")
    page.locator("#cold-start-model-ranks .tp-model-rank").first.wait_for()
    settled(page)
    walk.show("Test cases one by one: where does each model put the true next item?", READ + 600)
    page.locator("#cold-start-rule input").click()
    page.get_by_role("option", name="gain").first.click()
    settled(page)
    walk.show("Or by a rule: here, where TPAD gains most", READ + 600)
    walk.click("And the figures", "button[role=tab]:has-text('Dashboard')")
    page.locator("#dashboard-top table").first.wait_for()
    settled(page)
    walk.show("Every run, with intervals and paired tests", READ + 1200)
    walk.save(HERE / "walk-through.webp")
    page.context.close()


def pictures(browser: Browser, address: str) -> None:
    """The still pictures."""
    page = opened(browser, address, **LAPTOP)
    shoot(page, "recommend-laptop")
    page.locator("#next .tp-why").first.click()
    page.locator("#why dialog[open]").wait_for()
    shoot(page, "why-laptop")
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Add a picture of your own").click()
    page.locator("#own-picture input[type=file]").first.set_input_files(ARRIVAL)
    settled(page)
    page.locator("#own-add").click()
    page.locator("#session .tp-badge-new").first.wait_for()
    shoot(page, "upload-laptop")
    page.context.close()
    shoot(opened(browser, address, color_scheme="dark", **LAPTOP), "recommend-laptop-dark")
    shoot(opened(browser, address, **PHONE), "recommend-phone")
    for size, options in (("laptop", LAPTOP), ("phone", PHONE)):
        page = opened(browser, address, **options)
        open_tab(page, "Compare")
        page.locator("#map .js-plotly-plot").wait_for()
        shoot(page, f"compare-{size}", full_page=True)
        open_tab(page, "Cold-start cases")
        page.locator("#cold-start-model-ranks .tp-model-rank").first.wait_for()
        shoot(page, f"cold-start-{size}")
        open_tab(page, "Dashboard")
        page.locator("#dashboard-top table").first.wait_for()
        shoot(page, f"dashboard-{size}")
        page.context.close()


def opened(browser: Browser, address: str, **options: object) -> Page:
    """The page for a new visitor, with its first list drawn."""
    page = browser.new_context(**options).new_page()  # type: ignore[arg-type]
    page.set_default_timeout(120_000)
    page.goto(address)
    page.locator("#next .tp-card").first.wait_for()
    settled(page)
    return page


def open_tab(page: Page, name: str) -> None:
    """Opens a tab, one that a phone keeps in its menu too."""
    tab = page.get_by_role("tab", name=name)
    if not tab.is_visible():
        page.locator(".overflow-menu > button").first.click()
        tab = page.locator(".overflow-dropdown").get_by_text(name)
    tab.click()


def settled(page: Page) -> None:
    """Waits until pictures are there and nothing moves any more."""
    page.wait_for_timeout(600)
    page.wait_for_function(
        "[...document.images].every((one) => one.complete || one.loading === 'lazy')"
    )
    page.wait_for_timeout(900)


def shoot(page: Page, name: str, *, full_page: bool = False) -> None:
    """One still picture."""
    settled(page)
    picture = Image.open(io.BytesIO(page.screenshot(full_page=full_page)))
    picture.convert("RGB").save(HERE / f"{name}.webp", quality=82, method=6)
    print(f"drew {name}.webp", flush=True)


@contextmanager
def served() -> Iterator[str]:
    """The app's address while it runs."""
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "app", "--port", "0", "--read-only"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert process.stdout is not None
    try:
        for line in process.stdout:
            found = re.search(r"Running on .*?(http://\S+)", line)
            if found:
                yield found.group(1).rstrip("/")
                return
        raise SystemExit("The app did not start.")
    finally:
        process.terminate()
        process.wait()


def main() -> None:
    """Draws everything."""
    with served() as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        walk_through(browser, address)
        print("drew walk-through.webp", flush=True)
        if "--walk" not in sys.argv:
            pictures(browser, address)
        browser.close()


if __name__ == "__main__":
    main()
