"""The misbehaving server, and a shop whose pictures lie there."""

import pytest
from fetching_shop import Shop
from misbehaving_server import Server


@pytest.fixture
def server():
    """A running server."""
    with Server() as running:
        yield running


@pytest.fixture
def shop(server, tmp_path):
    """Fetches from `server`."""
    return Shop(server, tmp_path)
