"""Writes files of the Amazon Reviews for tests."""

import gzip
import json

DAY = 86_400


def review(user: str, item: str, day: int, rating: float = 5.0, **more: object) -> dict:
    return {
        "reviewerID": user,
        "asin": item,
        "unixReviewTime": day * DAY,
        "overall": rating,
        "reviewText": "fine",
        **more,
    }


def write(path, rows, packed=False):
    text = "".join(row if isinstance(row, str) else json.dumps(row) + "\n" for row in rows)
    path.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    return path


def clicked(path):
    return write(path, [review("u", item, 1) for item in "abc"])
