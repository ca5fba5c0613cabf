"""Importing published layouts: seconds and peak memory by the number of interactions.

    python benchmarks/bench_import.py --rows 1000000 10000000

Files are made in each layout first, five clicks to a session, popular items far more often than rare
ones, rows in no order; they need about 2 GB of disk, one layout after the other. Each import is a
process of its own, whose peak is that of the whole process.
"""

import argparse
import gzip
import json
import pickle
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from own_process import in_process
from stage_meter import peak

from tpad.importers.run import import_tables

LENGTH = 5  # clicks of a session
SESSIONS_OF_USER = 4
DAY = 86_400
START = 1_500_000_000  # Unix seconds
CHUNK = 500_000  # rows that are made at once
Clicks = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def clicks(n_rows: int, n_items: int, seed: int = 0) -> Iterator[Clicks]:
    """Session, user, item and time in seconds of each click, chunk by chunk: (m,) int64 each."""
    rng = np.random.default_rng(seed)
    for begin in range(0, n_rows, CHUNK):
        row = begin + rng.permutation(min(CHUNK, n_rows - begin))
        session = row // LENGTH
        user, visit = session // SESSIONS_OF_USER, session % SESSIONS_OF_USER
        item = (n_items * rng.random(len(row)) ** 3).astype(np.int64)
        moment = START + (user % 300 + visit * 7) * DAY + row % LENGTH * 60
        yield session, user, item, moment


@cache
def texts(n: int = 10_000, words: int = 40, seed: int = 0) -> list[str]:
    """What people might write: words of three to nine letters, so that packing has something to do."""
    rng = np.random.default_rng(seed)
    letters = rng.choice(list("etaoinshrdlucmfwypvbgk"), (3_000, 9))
    known = [
        "".join(word[:length])
        for word, length in zip(letters, rng.integers(3, 10, 3_000), strict=True)
    ]
    return [" ".join(known[place] for place in row) for row in rng.integers(0, 3_000, (n, words))]


def write(path: Path, lines: Iterable[str], header: str = "") -> Path:
    """A file of lines, packed if its name ends so."""
    with gzip.open(path, "wt", 1) if path.suffix == ".gz" else path.open("w") as file:
        file.write(header)
        file.writelines(f"{line}\n" for line in lines)
    return path


def per_click(n_rows: int, n_items: int, line: Callable[..., str]) -> Iterator[str]:
    """A line for each click, made from its session, user, item and time."""
    for chunk in clicks(n_rows, n_items):
        yield from map(line, *(column.tolist() for column in chunk))


def amazon_2018(folder: Path, n_rows: int, n_items: int) -> list[Path]:
    said = texts()

    def review(session: int, user: int, item: int, moment: int) -> str:
        text = said[(session + item) % len(said)]
        return (
            f'{{"overall": 5.0, "verified": true, "reviewTime": "01 1, 2018", "reviewerID": "A{user:012}", '
            f'"asin": "B{item:09}", "reviewerName": "N", "reviewText": "{text}", "summary": "Good", '
            f'"unixReviewTime": {moment}}}'
        )

    def record(item: int) -> str:
        return json.dumps(
            {
                "category": ["Sports", f"Kind {item % 40}"],
                "description": [said[item % len(said)]],
                "brand": "Acme",
                "title": f"Thing {item}",
                "asin": f"B{item:09}",
                "price": "$9.50",
                "imageURLHighRes": [f"https://example.com/{item}.jpg"],
            }
        )

    return [
        write(folder / "reviews.json.gz", per_click(n_rows, n_items, review)),
        write(folder / "meta.json.gz", map(record, range(n_items))),
    ]


def amazon_2023(folder: Path, n_rows: int, n_items: int) -> list[Path]:
    said = texts()

    def review(session: int, user: int, item: int, moment: int) -> str:
        text = said[(session + item) % len(said)]
        return (
            f'{{"rating": 5.0, "title": "Good", "text": "{text}", "images": [], "asin": "B{item:09}", '
            f'"parent_asin": "B{item:09}", "user_id": "A{user:012}", "timestamp": {moment}000, '
            '"helpful_vote": 0, "verified_purchase": true}'
        )

    def record(item: int) -> str:
        return json.dumps(
            {
                "main_category": "Sports",
                "title": f"Thing {item}",
                "features": ["red"],
                "price": 9.5,
                "description": [said[item % len(said)]],
                "images": [{"large": f"https://example.com/{item}.jpg"}],
                "store": "Acme",
                "categories": ["Sports", f"Kind {item % 40}"],
                "parent_asin": f"B{item:09}",
            }
        )

    return [
        write(folder / "reviews.jsonl.gz", per_click(n_rows, n_items, review)),
        write(folder / "meta.jsonl.gz", map(record, range(n_items))),
    ]


def mmsbr(folder: Path, n_rows: int, n_items: int) -> list[Path]:
    prefixes, labels = [], []
    for _, _, items, _ in clicks(n_rows, n_items):
        for case in (items[: len(items) // LENGTH * LENGTH].reshape(-1, LENGTH) + 1).tolist():
            prefixes.append(case[:-1])
            labels.append(case[-1])
    levels = [[item % 10 for item in prefix] for prefix in prefixes]
    kinds = [[item % 40 for item in prefix] for prefix in prefixes]
    of_items = [item % 10 for item in range(n_items)], [item % 40 for item in range(n_items)]
    with (folder / "train.txt").open("wb") as file:
        pickle.dump((prefixes, levels, kinds, *of_items, labels), file)
    return [folder / "train.txt"]


def recbole(folder: Path, n_rows: int, n_items: int) -> list[Path]:
    of_clicks = per_click(n_rows, n_items, "{1}\t{2}\t5\t{3}".format)
    items = (f"{item}\tThing {item}\tKind {item % 40}\t9.5" for item in range(n_items))
    inter = "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
    item = "item_id:token\ttitle:token_seq\tcategories:token_seq\tprice:float\n"
    return [write(folder / "x.inter", of_clicks, inter), write(folder / "x.item", items, item)]


def session_rec(folder: Path, n_rows: int, n_items: int) -> list[Path]:
    of_clicks = per_click(n_rows, n_items, "{0}\t{2}\t{3}".format)
    return [write(folder / "log.txt", of_clicks, "SessionId\tItemId\tTime\n")]


def yoochoose(folder: Path, n_rows: int, n_items: int) -> list[Path]:
    def line(session: int, user: int, item: int, moment: int) -> str:
        day = datetime.fromtimestamp(moment, UTC)
        return f"{session},{day:%Y-%m-%dT%H:%M:%S}.000Z,{item},{item % 12}"

    return [write(folder / "yoochoose-clicks.dat", per_click(n_rows, n_items, line))]


def movielens(folder: Path, n_rows: int, n_items: int) -> list[Path]:
    ratings = per_click(n_rows, n_items, "{1},{2},4.0,{3}".format)
    movies = (f'{item},"Film, The {item} (1995)",Comedy|Drama' for item in range(n_items))
    return [
        write(folder / "ratings.csv", ratings, "userId,movieId,rating,timestamp\n"),
        write(folder / "movies.csv", movies, "movieId,title,genres\n"),
    ]


def huggingface(folder: Path, n_rows: int, n_items: int) -> list[Path]:
    names = ("session_id", "user_id", "item_id", "timestamp")
    schema = pa.schema([(name, pa.int64()) for name in names])
    with pq.ParquetWriter(folder / "clicks.parquet", schema) as to:
        for chunk in clicks(n_rows, n_items):
            to.write_table(pa.table(dict(zip(names, chunk, strict=True)), schema))
    titles = [f"Thing {item}" for item in range(n_items)]
    items = pa.table({"item_id": pa.array(range(n_items), pa.int64()), "title": titles})
    pq.write_table(items, folder / "items.parquet")
    return [folder / "clicks.parquet", folder / "items.parquet"]


LAYOUTS = {
    "amazon-2018": amazon_2018,
    "amazon-2023": amazon_2023,
    "mmsbr": mmsbr,
    "recbole": recbole,
    "session-rec": session_rec,
    "yoochoose": yoochoose,
    "movielens": movielens,
    "huggingface": huggingface,
}


def measured(form: str, files: list[Path], out: Path) -> tuple[float, float, int]:
    """Seconds, peak MiB, and interactions kept."""
    begin = time.perf_counter()
    report = import_tables(form, files, out, say=lambda _: None)
    return time.perf_counter() - begin, peak(), report["interactions"]["kept"]


def parser() -> argparse.ArgumentParser:
    """The command line."""
    result = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    result.add_argument("--rows", type=int, nargs="+", default=[1_000_000, 10_000_000])
    result.add_argument("--items", type=int, default=100_000)
    result.add_argument("--formats", nargs="+", choices=LAYOUTS, default=list(LAYOUTS))
    result.add_argument("--disk", help="folder for what is made, which is removed again")
    return result


def main() -> int:
    options = parser().parse_args()
    print("| format | interactions | kept | files (MiB) | seconds | interactions/s | peak (MiB) |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |", flush=True)
    for form in options.formats:
        for n_rows in options.rows:
            with tempfile.TemporaryDirectory(dir=options.disk) as made:
                folder = Path(made)
                files = LAYOUTS[form](folder, n_rows, options.items)
                size = sum(file.stat().st_size for file in files) / 2**20
                seconds, memory, kept = in_process(measured, form, files, folder / "shop")
            print(
                f"| {form} | {n_rows:,} | {kept:,} | {size:,.0f} | {seconds:,.1f} | "
                f"{n_rows / seconds:,.0f} | {memory:,.0f} |",
                flush=True,
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
