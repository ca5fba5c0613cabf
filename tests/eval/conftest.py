"""A small shop for the tests of `eval`, its embeddings and models, and databases of both kinds."""

from uuid import uuid4

import numpy as np
import pytest
from postgres_server import postgres_server
from small_models import FAST, Oracle
from small_shops import dataset_of

from eval.models.entries import all_entries
from tpad.data.dataset import Dataset
from tpad.world.oracle import attribute_table

KINDS, COLOURS = 4, 6


@pytest.fixture(scope="session")
def shop() -> Dataset:
    """Items are (kind, colour); the next kind in the same colour follows. 7 and 16 are cold."""
    n_items = KINDS * COLOURS
    kind, colour = np.divmod(np.arange(n_items), COLOURS)
    cold = np.isin(np.arange(n_items), [7, 16])
    rng = np.random.default_rng(0)

    def walks(count: int, allow_cold: bool) -> list:
        found = []
        while len(found) < count:
            start = int(rng.integers(n_items))
            walk = [((start // COLOURS + i) % KINDS) * COLOURS + start % COLOURS for i in range(3)]
            if allow_cold or not cold[walk].any():
                found.append(walk)
        return found

    kinds, colours = ["phone", "case", "cable", "charger"], list("abcdef")
    return dataset_of(
        walks(200, False),
        walks(30, False),
        walks(40, True),
        n_items,
        title=[f"{kinds[k]} colour{colours[c]}" for k, c in zip(kind, colour, strict=True)],
        category=[kinds[k] for k in kind],
        price=np.where(np.arange(n_items) == 3, np.nan, 5.0 + 10 * kind),
        attr_kind=[kinds[k] for k in kind],
        attr_colour=[colours[c] for c in colour],
    )


@pytest.fixture(scope="module")
def embeddings(shop):
    """In the order of a bundle, TPAD first."""
    attributes = attribute_table(shop.items)
    noise = np.random.default_rng(0).standard_normal((24, 12)).astype(np.float32)
    return {
        "tpad": attributes,
        "vision_tfidf": attributes[:, :6],
        "knowledge": noise,
        "vision": attributes[:, :4],
        "tfidf": attributes[:, 4:],
        "transfer": noise[:, :6],
        "random": noise[:, 6:],
    }


@pytest.fixture(scope="module")
def entries(shop, embeddings):
    return all_entries(shop, embeddings, FAST, Oracle())


@pytest.fixture(scope="session")
def postgres():
    """URL of a PostgreSQL server's empty database; skips where there is no server to start."""
    with postgres_server() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def target(request, tmp_path) -> str:
    """An empty database of each kind."""
    if request.param == "sqlite":
        return str(tmp_path / "results.db")
    url = request.getfixturevalue("postgres")
    import psycopg

    schema = f"test_{uuid4().hex}"  # quicker to make than a database
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {schema}")
    return f"{url}&options=-csearch_path%3D{schema}"
