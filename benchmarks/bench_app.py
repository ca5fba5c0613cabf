"""How fast the app starts, shows its first page, and answers many visitors who click at once.

    python benchmarks/bench_app.py
    python benchmarks/bench_app.py --visitors 20 --clicks 15 --think 0

The app runs in a process of its own. Visitors speak to it as the page does: a click is sent to the
queue and its answer awaited, then the list that follows from it, and from every third click on a
comparison. `--think 0` leaves them no time to look, so that all of them always wait at once.
First paint is taken by Chromium, if playwright finds one.
"""

import argparse
import asyncio
import json
import os
import random
import re
import shutil
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import httpx
import numpy as np

ROOT = Path(__file__).resolve().parents[1]
EVERY_COMPARISON = 3  # clicks between two comparisons


def parser() -> argparse.ArgumentParser:
    """The command line."""
    result = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    result.add_argument("--bundle", help="folder of a bundle (the demo shop)")
    result.add_argument("--visitors", type=int, default=20, help="at once (%(default)s)")
    result.add_argument("--clicks", type=int, default=15, help="of each visitor (%(default)s)")
    result.add_argument(
        "--think", type=float, default=1.0, help="seconds between clicks, in the mean (%(default)s)"
    )
    return result


class Page:
    """What of the page's configuration is needed to click.

    Args:
        config: as the server gives it.
    """

    def __init__(self, config: dict[str, Any]) -> None:
        names = {c["props"].get("elem_id"): c["id"] for c in config["components"]}
        self.catalogue = names["catalogue"]
        self.click = self._listener(config, self.catalogue, "click")
        self.session = self.click["outputs"][0]
        self.cards = self._listener(config, self.session, "change", names["next"])
        opened = [d for d in config["dependencies"] if names["compare"] in d["outputs"]]
        self.columns, self.compare_tab = next(
            (d, at) for d in opened for at, event in d["targets"] if event == "select"
        )
        self.values = {c["id"]: c["props"].get("value") for c in config["components"]}
        self.items = re.findall(r'data-id="([^"]+)"', str(self.values[self.catalogue]))

    @staticmethod
    def _listener(
        config: dict[str, Any], component: int, event: str, output: int | None = None
    ) -> dict[str, Any]:
        """What runs at an event, if it is told, the one that draws `output`."""
        return next(
            d
            for d in config["dependencies"]
            if [component, event] in d["targets"] and (output is None or output in d["outputs"])
        )

    def inputs(self, listener: dict[str, Any]) -> list[Any]:
        """Values as the page has them at first; the server knows those of states itself."""
        return [self.values.get(i) for i in listener["inputs"]]


class Visitor:
    """One browser's worth of clicks.

    Args:
        client: asks the server.
        page: what can be clicked.
        number: tells visitors apart.
        times: seconds of each kind of click, appended to.
    """

    def __init__(
        self, client: httpx.AsyncClient, page: Page, number: int, times: dict[str, list[float]]
    ) -> None:
        self.client, self.page, self.times = client, page, times
        self.hash = f"visitor{number:04d}"
        self.rng = random.Random(number)

    async def ask(self, listener: dict[str, Any], trigger: int, data: Any = None) -> None:
        """Send one event and wait until it is answered."""
        joined = await self.client.post(
            "/gradio_api/queue/join",
            json={
                "data": self.page.inputs(listener),
                "event_data": data,
                "fn_index": listener["id"],
                "trigger_id": trigger,
                "session_hash": self.hash,
            },
        )
        joined.raise_for_status()
        event = joined.json()["event_id"]
        stream = self.client.stream(
            "GET", "/gradio_api/queue/data", params={"session_hash": self.hash}
        )
        async with stream as answers:
            async for line in answers.aiter_lines():
                said = json.loads(line[5:]) if line.startswith("data:") else {}
                if said.get("event_id") == event and said["msg"] == "process_completed":
                    if not said["success"]:
                        raise RuntimeError(f"The app failed: {said['output']}")
                    return

    async def visit(self, clicks: int, think: float) -> None:
        """So many clicks, with time to look between."""
        page = self.page
        for number in range(clicks):
            await asyncio.sleep(self.rng.uniform(0.5, 1.5) * think)
            act, item = "add", self.rng.choice(page.items)
            if number % 10 == 9:  # before the session is full
                act, item = "clear", ""
            begin = time.perf_counter()
            await self.ask(page.click, page.catalogue, {"act": act, "id": item})
            self.times["click: the session"].append(time.perf_counter() - begin)
            await self.ask(page.cards, page.session)
            self.times["click: the session and its list"].append(time.perf_counter() - begin)
            if number % EVERY_COMPARISON == EVERY_COMPARISON - 1:
                begin = time.perf_counter()
                await self.ask(page.columns, page.compare_tab)
                self.times["comparison"].append(time.perf_counter() - begin)


async def crowd(address: str, visitors: int, clicks: int, think: float) -> dict[str, list[float]]:
    """Seconds of every click of all visitors, by kind."""
    times: dict[str, list[float]] = defaultdict(list)
    limits = httpx.Limits(max_connections=4 * visitors)
    async with httpx.AsyncClient(base_url=address, limits=limits, timeout=120) as client:
        page = Page((await client.get("/config")).json())
        await Visitor(client, page, 9999, defaultdict(list)).visit(EVERY_COMPARISON, 0)  # warm up
        await asyncio.gather(
            *(Visitor(client, page, n, times).visit(clicks, think) for n in range(visitors))
        )
    return times


def processor_seconds(process: subprocess.Popen) -> float:
    """What a process has taken of the processors so far; NaN where the system does not tell."""
    try:
        fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return float("nan")
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def wait_until_idle(process: subprocess.Popen, least: float = 8.0, most: float = 60.0) -> None:
    """Until the app has made itself ready for uploads, which it begins some seconds after its start
    and which visitors of its first minute share the processors with."""
    begin, work = time.perf_counter(), processor_seconds(process)
    while time.perf_counter() - begin < most:
        time.sleep(1.0)
        before, work = work, processor_seconds(process)
        if time.perf_counter() - begin > least and not work - before > 0.05:
            return


def start(bundle: str | None) -> tuple[subprocess.Popen, str, float]:
    """The app's process, its address, and the seconds until it said "Running on"."""
    command = [sys.executable, "-u", "-m", "app", "--port", "0", "--read-only"]
    begin = time.perf_counter()
    process = subprocess.Popen(
        command + (["--bundle", bundle] if bundle else []),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    said = []
    assert process.stdout is not None
    for line in process.stdout:
        said.append(line)
        found = re.search(r"Running on .*?(http://\S+)", line)
        if found:
            return process, found.group(1).rstrip("/"), time.perf_counter() - begin
    raise SystemExit("The app did not start:\n" + "".join(said))


def first_paint(address: str) -> float | None:
    """Seconds from asking for the page until recommendations are seen; None without a browser."""
    chromium = shutil.which("chromium") or "/usr/bin/chromium"
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        return None
    if not os.access(chromium, os.X_OK):
        return None
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page()
        begin = time.perf_counter()
        page.goto(address, wait_until="commit")
        page.locator("#next .tp-card").first.wait_for(timeout=120_000)
        seconds = time.perf_counter() - begin
        browser.close()
    return seconds


def main() -> None:
    """Measures and prints one table."""
    options = parser().parse_args()
    process, address, started = start(options.bundle)
    try:
        started_work = processor_seconds(process)
        painted = first_paint(address)
        wait_until_idle(process)
        before = processor_seconds(process)
        times = asyncio.run(crowd(address, options.visitors, options.clicks, options.think))
        work = processor_seconds(process) - before
    finally:
        process.terminate()
        process.wait()
    print(f"{options.visitors} visitors, {options.clicks} clicks each, {options.think:g} s between")
    print(f"| {'what':<34} | {'times':>6} | {'p50':>9} | {'p95':>9} |")
    print(f"| {'---':<34} | {'---:':>6} | {'---:':>9} | {'---:':>9} |")
    once = {"start, until “Running on”": started, "first paint, in a browser": painted}
    for what, seconds in once.items():
        told = "–" if seconds is None else f"{seconds:.2f} s"
        print(f"| {what:<34} | {1:>6} | {told:>9} | {'':>9} |")
    clicks = options.visitors * options.clicks
    for what, seconds in (
        ("processor, until “Running on”", started_work),
        ("processor, a click with its list", work / clicks),
    ):
        told = f"{seconds:.2f} s" if seconds > 1 else f"{1000 * seconds:,.0f} ms"
        print(f"| {what:<34} | {'':>6} | {told:>9} | {'':>9} |")
    for what, values in times.items():
        half, most = 1000 * np.percentile(values, [50, 95])
        print(f"| {what:<34} | {len(values):>6} | {half:>6,.0f} ms | {most:>6,.0f} ms |")


if __name__ == "__main__":
    main()
