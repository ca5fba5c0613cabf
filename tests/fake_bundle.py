"""A small bundle with a made-up encoder, for tests of whatever stands on a bundle.

    path = make_fake_bundle(tmp_path / "bundle")
    bundle = Bundle.load(path, encoder=FakeEncoder())

The embeddings are those which `FakeEncoder` gives for the items' contents, in half precision.
"""

import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw

from tpad import Bundle, Dataset, NewItem
from tpad.bundle import write_bundle
from tpad.bundle.files import summarise
from tpad.model.embedding_sets import as_stored

SETS = ("tpad", "vision_tfidf", "knowledge", "vision")
WIDTHS = {"tpad": 24, "vision_tfidf": 20, "knowledge": 16, "vision": 12, "tfidf": 10, "random": 8}
CATEGORIES = ("Phones", "Groceries", "Sports")
COLOURS = {
    "red": (200, 40, 40),
    "green": (40, 160, 70),
    "blue": (50, 80, 200),
    "yellow": (230, 200, 40),
    "black": (30, 30, 30),
}
KINDS = ("case", "phone", "charger", "juice", "cereal", "milk", "shoe", "cap", "ball")
PICTURE_SIZE = 64


class FakeEncoder:
    """Embeds an item by its mean colour and the words of its text; counts what it encodes.

    Args:
        sets: names of the embedding sets that it offers.
    """

    def __init__(self, sets: Sequence[str] = SETS) -> None:
        self.sets = tuple(sets)
        self.calls: list[tuple[int, tuple[str, ...]]] = []  # items and sets of each call

    def encode(
        self, items: Sequence[NewItem], sets: Sequence[str] | None = None
    ) -> dict[str, np.ndarray]:
        names = self.sets if sets is None else tuple(sets)
        self.calls.append((len(items), names))
        features = np.stack([_features(item) for item in items])  # (n, 19)
        return {name: features @ _projection(name) for name in names}

    def save(self, folder: Path) -> None:
        (folder / "encoder.json").write_text(json.dumps({"sets": self.sets}))
        (folder / "base").mkdir()
        (folder / "base" / "config.json").write_text("{}")


def make_fake_dataset(
    folder: Path, n_items: int = 60, n_sessions: int = 120, with_images: bool = True, seed: int = 0
) -> Dataset:
    """A shop whose every tenth item (from the sixth on) is cold; pictures lie in folder/images."""
    rng = np.random.default_rng(seed)
    (folder / "images").mkdir(parents=True, exist_ok=True)
    rows = []
    for i in range(n_items):
        kind, colour = KINDS[i % len(KINDS)], list(COLOURS)[i % len(COLOURS)]
        image = f"images/item-{i:04d}.webp" if with_images else ""
        if image:
            picture(colour, i).save(folder / image, lossless=True)
        category = CATEGORIES[i % len(KINDS) // 3] if i != 7 else ""
        price = round(2 + 1.5 * i, 2) if i != 8 else np.nan
        rows.append((f"item-{i:04d}", f"{colour} {kind} no. {i}", "", category, price, image))
    columns = ["item_id", "title", "description", "category", "price", "image"]
    pd.DataFrame(rows, columns=columns).to_csv(folder / "items.csv", index=False)
    warm = np.flatnonzero(np.arange(n_items) % 10 != 5)
    clicks = []
    for s in range(n_sessions):
        split = ("train", "validation", "test")[0 if s < 0.7 * n_sessions else 1 + s % 2]
        pool = warm if split != "test" else np.arange(n_items)
        start = rng.integers(len(pool))
        for j in range(rng.integers(2, 6)):  # the next items of the table follow
            clicks.append(
                (f"s{s}", f"item-{pool[(start + j) % len(pool)]:04d}", 1000 * s + j, split)
            )
    # Every warm item is clicked at least once.
    for s, pair in enumerate(zip(warm, np.roll(warm, -1), strict=True)):
        clicks += [(f"w{s}", f"item-{row:04d}", s * 10 + j, "train") for j, row in enumerate(pair)]
    columns = ["session_id", "item_id", "timestamp", "split"]
    pd.DataFrame(clicks, columns=columns).to_csv(folder / "interactions.csv", index=False)
    return Dataset.from_world(folder)


def make_fake_bundle(
    folder: str | Path,
    n_items: int = 60,
    with_images: bool = True,
    sets: Sequence[str] = SETS,
    seed: int = 0,
    **options,
) -> Path:
    """Write a bundle to `folder`; a folder `<name>-shop` with its tables is made beside it.

    Args:
        options: further arguments of `write_bundle`.
    """
    from tpad.model.session.exploration import Exploration
    from tpad.model.session.fused import FusionWeights
    from tpad.model.session.memory import MemoryConfig
    from tpad.model.session.network import SessionModelConfig
    from tpad.training.fusion import FusionTuning, fit_tuned

    folder = Path(folder)
    shop = folder.with_name(folder.name + "-shop")
    dataset = make_fake_dataset(shop, n_items, with_images=with_images, seed=seed)
    encoder = FakeEncoder(sets)
    # The recommenders are fitted to the rounded vectors that the bundle stores, as `train` does.
    embeddings = {n: as_stored(n, x) for n, x in encoder.encode(contents(dataset)).items()}
    config = SessionModelConfig(width=16, hidden=16, layers=1, heads=2, epochs=1, seed=seed)
    curve = Exploration((-2.0, 0.0, 2.0), (0.0, 0.1, 0.5), (0.3, 0.3, 0.2), (0.0, 0.1, 0.2), 0.1)
    tuning = FusionTuning(
        config, MemoryConfig(), FusionWeights(sharpness=30.0), 0.5, exploration=curve
    )
    recommenders = {
        name: fit_tuned(vectors, dataset.train, dataset.validation, ~dataset.cold, tuning)
        for name, vectors in embeddings.items()
    }
    settings = {"preset": "fake", "seed": seed}
    return write_bundle(
        folder,
        dataset=dataset,
        encoder=encoder,
        embeddings=embeddings,
        recommenders=recommenders,
        config=options.pop("config", settings),
        tuned={name: asdict(tuning) for name in embeddings},
        **options,
    )


def load(folder: Path, **options) -> Bundle:
    """The bundle in a folder, with an encoder that counts."""
    return Bundle.load(folder, encoder=FakeEncoder(), **options)


def with_arrival(bundle: Path, folder: Path) -> Path:
    """A copy of a bundle with one new arrival, a green kite; gives `folder` back."""
    shutil.copytree(bundle, folder)
    (folder / "arrivals").mkdir()
    picture("green", 9).save(folder / "arrivals" / "one.webp")
    (folder / "arrivals" / "arrivals.csv").write_text("title,image\ngreen kite,one.webp\n")
    list_again(folder)
    return folder


def list_again(folder: Path) -> None:
    """Have `bundle.json` list what lies in a bundle that a test has changed."""
    info = json.loads((folder / "bundle.json").read_text("utf-8")) | summarise(folder)
    (folder / "bundle.json").unlink()  # which may be a link
    (folder / "bundle.json").write_text(json.dumps(info), "utf-8")


def contents(dataset: Dataset) -> list[NewItem]:
    """The items of a dataset as the encoder reads them."""
    return [
        NewItem(
            dataset.image(i),
            row.title,
            row.description,
            row.category,
            None if np.isnan(row.price) else row.price,
        )
        for i, row in enumerate(dataset.items.itertuples(index=False))
    ]


def picture(colour: str = "red", mark: int = 0, size: int = PICTURE_SIZE) -> Image.Image:
    """A coloured picture with a mark that tells it from others."""
    image = Image.new("RGB", (size, size), "white")
    draw = ImageDraw.Draw(image)
    draw.rounded_rectangle((size // 8, size // 8, size * 7 // 8, size * 7 // 8), 6, COLOURS[colour])
    draw.ellipse((mark % (size // 2), 12, mark % (size // 2) + 14, 26), fill="white")
    return image


def _features(item: NewItem) -> np.ndarray:
    """(19,) float32: mean colour, and hashed words."""
    colour = np.zeros(3)
    if item.image is not None:
        colour = np.asarray(item.image, dtype=float).mean((0, 1)) / 255 - 0.5
    words = np.zeros(16)
    for word in f"{item.title} {item.description} {item.category}".lower().split():
        words[int(hashlib.md5(word.encode()).hexdigest(), 16) % 16] += 1
    return np.concatenate([4 * colour, words]).astype(np.float32)


def _projection(name: str) -> np.ndarray:
    """(19, d) float32, the same at every call."""
    rng = np.random.default_rng(int(hashlib.md5(name.encode()).hexdigest()[:8], 16))
    return rng.normal(size=(19, WIDTHS[name])).astype(np.float32)
