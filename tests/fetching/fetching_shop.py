"""A shop whose pictures lie on a misbehaving server."""

import csv
import io
from pathlib import Path

import pandas as pd
from misbehaving_server import Clock, Network, Server
from PIL import Image

from tpad.fetching import FetchConfig, fetch_pictures
from tpad.fetching.downloading import Downloader


def picture(colour: str = "red", fmt: str = "JPEG", size=(40, 20), **options) -> bytes:
    """A file of one colour."""
    out = io.BytesIO()
    Image.new("RGB", size, colour).save(out, fmt, **options)
    return out.getvalue()


class Shop:
    """Fetches pictures from the server; nothing is waited for."""

    def __init__(self, server: Server, folder: Path) -> None:
        self.server, self.items, self.out = server, folder / "items.csv", folder / "out"
        self.network, self.clock = Network(server), Clock()
        self.wall_clock = lambda: 1_700_000_000.0

    def fetch(self, *paths: str, column: str | None = None, retry_failed=False, **settings):
        """Fetch http://shop.test/<path>, or whole addresses; returns the report."""
        urls = [path if "//" in path else f"http://shop.test/{path}" for path in paths]
        if urls:
            self.write([{"item_id": f"i{n}", "image_url": url} for n, url in enumerate(urls)])

        def make(config: FetchConfig) -> Downloader:
            return Downloader(config, self.network.resolve, self.network, self.wall_clock)

        return fetch_pictures(
            self.items,
            self.out,
            FetchConfig(**settings),
            column,
            retry_failed,
            make_downloader=make,
            clock=self.clock,
            sleep=self.clock.sleep,
        )

    def write(self, rows: list[dict]) -> None:
        with self.items.open("w", encoding="utf-8", newline="") as file:
            lines = csv.DictWriter(file, list(rows[0]))
            lines.writeheader()
            lines.writerows(rows)

    @property
    def table(self) -> pd.DataFrame:
        return pd.read_parquet(self.out / "items.parquet")

    @property
    def failures(self) -> pd.DataFrame:
        return pd.read_csv(self.out / "failures.csv")

    @property
    def files(self) -> list[Path]:
        return sorted(path for path in (self.out / "images").rglob("*") if path.is_file())

    def only_failure(self) -> pd.Series:
        """The one line of failures.csv; there is no picture."""
        assert list(self.table["image"]) == [""]
        assert not (self.out / "images").exists()
        assert len(self.failures) == 1
        return self.failures.iloc[0]
