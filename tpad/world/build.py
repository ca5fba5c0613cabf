"""Creates a demo shop from a seed, and writes it as tables and pictures; equal seeds give equal bytes."""

import json
import random
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
from pydantic import Field

from tpad.data.columns import Columns
from tpad.errors import DataError
from tpad.io.csv_files import csv_text
from tpad.io.files import replacing_folder
from tpad.settings import Count, CountOrZero, settings
from tpad.world.attributes import (
    ALL_TYPES,
    BRANDS,
    DEPARTMENT_OF,
    OCCASIONS,
    SPECS,
    TIERS,
    Look,
    Product,
    looks,
)
from tpad.world.drawing.product import draw
from tpad.world.language import ShopText, describe, write
from tpad.world.law import Law, LawConfig, popularity_weights
from tpad.world.occasions import with_occasion
from tpad.world.oracle import ATTRIBUTE_PREFIX, VERSION
from tpad.world.partners import Partners, draw_partners
from tpad.world.shoppers import draw_sessions

PICTURE_SIZE = 256
WEBP_QUALITY = 82
START = 1_767_225_600  # 2026-01-01 00:00 UTC
SECONDS_BETWEEN_SESSIONS, SECONDS_BETWEEN_CLICKS = 300, 40

PRICES = {
    "phone": 420,
    "phone case": 18,
    "charger": 24,
    "cable": 11,
    "headphones": 85,
    "power bank": 38,
    "smartwatch": 160,
    "speaker": 60,
    "cereal": 3.6,
    "milk": 1.6,
    "jam": 3.2,
    "coffee": 7.5,
    "juice": 2.8,
    "chocolate": 1.9,
    "soup": 2.4,
    "ice cream": 4.6,
    "jersey": 42,
    "shorts": 26,
    "shoe": 88,
    "cap": 19,
    "ball": 29,
    "racket": 120,
    "sports bottle": 14,
    "backpack": 55,
}
TIER_FACTOR = {"budget": 0.6, "standard": 1.0, "premium": 1.7}


@settings
class WorldConfig:
    """Size and seed of a demo shop."""

    seed: CountOrZero = 7
    """Determines everything."""
    items: Annotated[int, Field(ge=2 * len(ALL_TYPES))] = 1200
    """Number of items in the catalogue."""
    train_sessions: Count = 8_000
    """Training sessions; none has a cold item."""
    validation_sessions: Count = 1_500
    """Validation sessions; none has a cold item."""
    test_sessions: Count = 3_000
    """Test sessions, over all items."""
    cold_share: Annotated[float, Field(ge=0.0, le=0.5)] = 0.15
    """Share of the items that occur in no training or validation session."""
    arrivals: CountOrZero = 24
    """Products outside the catalogue, as pictures to upload."""


class World:
    """One demo shop: products, texts, prices, the law, and the sessions of its shoppers."""

    def __init__(self, config: WorldConfig | None = None, law: LawConfig | None = None) -> None:
        self.config = config or WorldConfig()
        self.law_config = law or LawConfig()

    @cached_property
    def _catalogue(self) -> list[Product]:
        """The products of the shop, then the new arrivals, whose looks the shop does not have."""
        rng = random.Random(f"{self.config.seed}/catalogue")
        owned: dict[str, list[Look]] = {kind: [] for kind in ALL_TYPES}
        for look in looks(reserved=True):
            owned[look.type].append(look)
        fresh = {}
        for kind, choices in owned.items():
            rng.shuffle(choices)
            fresh[kind] = choices[:4]
            owned[kind] = choices[4:]
        kinds = [ALL_TYPES[i % len(ALL_TYPES)] for i in range(self.config.items)]
        rng.shuffle(kinds)
        products = [_product(rng.choice(owned[kind]), rng) for kind in kinds]
        kinds = [ALL_TYPES[i % len(ALL_TYPES)] for i in range(self.config.arrivals)]
        products += [_product(rng.choice(fresh[kind]), rng) for kind in kinds]
        rng = random.Random(f"{self.config.seed}/occasion")
        return [replace(product, occasion=rng.choice(OCCASIONS)) for product in products]

    @cached_property
    def products(self) -> list[Product]:
        """The products of the catalogue, by row."""
        return self._catalogue[: self.config.items]

    @cached_property
    def arrivals(self) -> list[Product]:
        """Products outside the catalogue."""
        return self._catalogue[self.config.items :]

    @cached_property
    def texts(self) -> list[ShopText]:
        """Title and description of each product, by row."""
        return self._texts(self.products, "text")

    def _texts(self, products: list[Product], salt: str) -> list[ShopText]:
        written = []
        for row, product in enumerate(products):
            text = write(product, random.Random(f"{self.config.seed}/{salt}/{row}"))
            rng = random.Random(f"{self.config.seed}/{salt}-occasion/{row}")
            written.append(with_occasion(text, product.occasion, rng))
        return written

    @cached_property
    def law(self) -> Law:
        """The law of the shoppers."""
        popularity = popularity_weights(self.products, self.law_config, self.config.seed)
        return Law.of(self.products, popularity, self.law_config, self.partners)

    @cached_property
    def partners(self) -> Partners:
        """The partners of each item."""
        return draw_partners(self.products, self.config.seed)

    @cached_property
    def cold(self) -> np.ndarray:
        """(n_items,) bool, items that occur in no training or validation session."""
        rng = np.random.default_rng([self.config.seed, 11])
        cold = np.zeros(self.config.items, dtype=bool)
        cold[rng.permutation(self.config.items)[: round(self.config.cold_share * len(cold))]] = True
        return cold

    @cached_property
    def sessions(self) -> dict[str, list[np.ndarray]]:
        """Sessions by split, each an array of item rows."""
        config, warm = self.config, ~self.cold
        parts = {
            "train": (config.train_sessions, warm),
            "validation": (config.validation_sessions, warm),
            "test": (config.test_sessions, None),
        }
        return {
            name: list(
                draw_sessions(self.law, n, np.random.default_rng([config.seed, 23 + i]), allowed)
            )
            for i, (name, (n, allowed)) in enumerate(parts.items())
        }

    def item_table(self) -> pd.DataFrame:
        """The catalogue as in `items.csv`, with the true attributes in `attr_*` columns."""
        ids = [f"item-{row:04d}" for row in range(self.config.items)]
        return self._table(self.products, self.texts, ids, "price", "images")

    def arrivals_table(self) -> pd.DataFrame:
        """The new arrivals as in `arrivals.csv`."""
        texts = self._texts(self.arrivals, "arrival")
        ids = [f"arrival-{row:02d}" for row in range(len(texts))]
        return self._table(self.arrivals, texts, ids, "arrival-price", "arrivals")

    def _table(
        self, products: list[Product], texts: list[ShopText], ids: list[str], salt: str, folder: str
    ) -> pd.DataFrame:
        prices = [
            _price(p, random.Random(f"{self.config.seed}/{salt}/{row}"))
            for row, p in enumerate(products)
        ]
        table = pd.DataFrame(
            {
                Columns.ITEM_ID: ids,
                Columns.TITLE: [text.title for text in texts],
                Columns.DESCRIPTION: [text.description for text in texts],
                Columns.CATEGORY: [product.department for product in products],
                Columns.PRICE: prices,
                Columns.IMAGE: [f"{folder}/{item}.webp" for item in ids],
            }
        )
        facts = {
            "type": [p.look.type for p in products],
            "colour": [p.look.colour for p in products],
            "pattern": [p.look.pattern for p in products],
            "emblem": [p.look.emblem for p in products],
            "spec": [p.spec for p in products],
            "brand": [p.brand for p in products],
            "tier": [p.tier for p in products],
            "occasion": [p.occasion for p in products],
        }
        return table.assign(**{ATTRIBUTE_PREFIX + name: values for name, values in facts.items()})

    def interaction_table(self) -> pd.DataFrame:
        """All clicks as in `interactions.csv`; the splits follow each other in time."""
        names, rows, sessions, times = [], [], [], []
        number = 0
        for split, group in self.sessions.items():
            for session in group:
                names += [split] * len(session)
                sessions += [f"s{number:06d}"] * len(session)
                rows.append(session)
                start = START + number * SECONDS_BETWEEN_SESSIONS
                times.append(start + SECONDS_BETWEEN_CLICKS * np.arange(len(session)))
                number += 1
        ids = self.item_table()[Columns.ITEM_ID].to_numpy()
        return pd.DataFrame(
            {
                Columns.SESSION_ID: sessions,
                Columns.ITEM_ID: ids[np.concatenate(rows)],
                Columns.TIMESTAMP: np.concatenate(times),
                Columns.SPLIT: names,
            }
        )

    def facts(self) -> dict:
        """What `world.json` holds: everything about the law that the item table does not tell."""
        return {
            "version": VERSION,
            "seed": self.config.seed,
            "config": asdict(self.config),
            "law": self.law.as_json(),
            "popularity": self.law.popularity.tolist(),
            "partners": self.partners.as_json(),
        }

    def describe(self, row: int) -> str:
        """The plain description of what picture and text of one item together show.

        It leaves the occasion out: the embedded model never learns to name it.
        """
        text = self.texts[row]
        return describe(self.products[row], text.tells_spec, text.tells_brand)


def write_world(
    world: World, out: Path, *, workers: int = 2, progress: Callable[[int, int], None] | None = None
) -> None:
    """Write the shop atomically into the folder `out`, which must be new or empty.

    Files: `items.csv`, `images/`, `interactions.csv`, `cold_items.txt`, `arrivals/` with
    `arrivals/arrivals.csv`, and `world.json`.

    Raises:
        DataError: `out` already exists and is not empty.
    """
    out = Path(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError(f"{out} already exists and is not an empty folder; choose another --out.")
    with replacing_folder(out) as beside:
        _write_files(world, beside, workers, progress)


def _write_table(table: pd.DataFrame, path: Path) -> None:
    path.write_text(csv_text(table), "utf-8", newline="\n")


def _write_files(
    world: World, folder: Path, workers: int, progress: Callable[[int, int], None] | None
) -> None:
    (folder / "images").mkdir()
    (folder / "arrivals").mkdir()
    items, arrivals = world.item_table(), world.arrivals_table()
    _write_table(items, folder / "items.csv")
    names = [Path(path).name for path in arrivals[Columns.IMAGE]]
    shown = arrivals.assign(**{Columns.IMAGE: names})
    _write_table(shown, folder / "arrivals" / "arrivals.csv")
    _write_table(world.interaction_table(), folder / "interactions.csv")
    cold_ids = items[Columns.ITEM_ID][world.cold]
    (folder / "cold_items.txt").write_text("".join(f"{i}\n" for i in cold_ids), "utf-8")
    (folder / "world.json").write_text(json.dumps(world.facts(), indent=1) + "\n", "utf-8")

    jobs = [
        (product.look, f"{world.config.seed}/{path}", folder / path)
        for products, table in ((world.products, items), (world.arrivals, arrivals))
        for product, path in zip(products, table[Columns.IMAGE], strict=True)
    ]
    with ProcessPoolExecutor(workers) as pool:
        for done, _ in enumerate(pool.map(_draw_file, jobs, chunksize=16), 1):
            if progress:
                progress(done, len(jobs))


def picture_seed(key: str) -> int:
    """The seed of the picture of a product."""
    return random.Random(key).getrandbits(31)


def _draw_file(job: tuple[Look, str, Path]) -> None:
    look, key, path = job
    draw(look, picture_seed(key), PICTURE_SIZE).save(path, "WEBP", quality=WEBP_QUALITY, method=4)


def _product(look: Look, rng: random.Random) -> Product:
    department = DEPARTMENT_OF[look.type]
    return Product(
        look, rng.choice(SPECS[department]), rng.choice(BRANDS[department]), rng.choice(TIERS)
    )


def _price(product: Product, rng: random.Random) -> float:
    price = PRICES[product.look.type] * TIER_FACTOR[product.tier] * rng.uniform(0.85, 1.15)
    return max(round(price), 1) - 0.01 if price >= 10 else round(price, 2)
