"""Product pictures: byte-exact, readable facts, the same at every size, never cropped."""

import io
import random
import subprocess
import sys
import zlib

import numpy as np
import pytest
from PIL import Image

from tpad.world.attributes import ALL_TYPES, COLOURS, EMBLEMS, PATTERNS, Look
from tpad.world.drawing.product import _FLAT, _layer, draw
from tpad.world.drawing.scene import _place, photograph, view
from tpad.world.drawing.surface import TONES


def _pixels(picture: Image.Image) -> np.ndarray:
    return np.asarray(picture).astype(int)


def _shoot(look: Look, seed: int, size: int = 96) -> tuple[np.ndarray, np.ndarray]:
    """Picture and coverage of a look in a view that depends on the seed alone."""
    seen = view(random.Random(seed), look.type in _FLAT)
    layer = _layer(look, random.Random(seed), size * 3)
    cover = _place(layer, seen).resize((size, size), Image.Resampling.BOX).getchannel(3)
    return _pixels(photograph(layer, seen, look.type in _FLAT, size)), _pixels(cover)


def _sample(n: int, seed: int) -> list[Look]:
    rng = random.Random(seed)
    return [
        Look(kind, rng.choice(COLOURS), rng.choice(PATTERNS), rng.choice(EMBLEMS))
        for kind in rng.sample(ALL_TYPES, n)
    ]


@pytest.mark.parametrize("size", [96, 256])
def test_the_same_seed_gives_the_same_bytes_and_another_seed_another_picture(size):
    for look in _sample(6, seed=size):
        first = draw(look, 5, size)
        assert first.mode == "RGB" and first.size == (size, size)
        assert draw(look, 5, size).tobytes() == first.tobytes()
        assert draw(look, 6, size).tobytes() != first.tobytes()


def test_bytes_do_not_depend_on_process_order_or_hash_seed():
    looks = _sample(4, seed=3)
    here = [zlib.crc32(draw(look, 1, 96).tobytes()) for look in looks]
    code = (
        "import sys, zlib\n"
        "from tpad.world.attributes import Look\n"
        "from tpad.world.drawing.product import draw\n"
        f"looks = {looks!r}\n"
        "sums = [zlib.crc32(draw(look, 1, 96).tobytes()) for look in reversed(looks)]\n"
        "print(*reversed(sums))\n"
    )
    there = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert [int(word) for word in there.split()] == here


@pytest.mark.parametrize("kind", ALL_TYPES)
def test_each_fact_of_each_type_changes_the_picture_within_the_product(kind):
    plain, cover = _shoot(Look(kind, "blue", "plain", "none"), seed=11)
    inside = cover > 250
    changed = {}
    for pattern in PATTERNS[1:]:
        other, _ = _shoot(Look(kind, "blue", pattern, "none"), seed=11)
        changed[pattern] = other
        # Bold: a good part of the product's pixels takes on clearly another tone.
        assert (np.abs(other - plain).max(axis=2)[inside] > 40).mean() > 0.08, pattern
    for emblem in EMBLEMS[1:]:
        other, _ = _shoot(Look(kind, "blue", "plain", emblem), seed=11)
        changed[emblem] = other
        moved = np.abs(other - plain).max(axis=2) > 40
        columns = np.flatnonzero(moved.any(axis=0))
        # The badge spans a fifth of the picture or more; nothing outside the product moves.
        assert columns[-1] - columns[0] + 1 >= 0.19 * 96, emblem
        assert not moved[cover == 0].any()
    names = list(changed)
    for i, a in enumerate(names):
        for b in names[:i]:
            assert np.abs(changed[a] - changed[b]).mean() > 0.5, (a, b)


@pytest.mark.parametrize("kind", ALL_TYPES)
def test_no_product_is_cropped_and_each_fills_the_picture(kind):
    for seed in range(6):
        _, cover = _shoot(Look(kind, "green", "plain", "none"), seed)
        rim = np.concatenate([cover[0], cover[-1], cover[:, 0], cover[:, -1]])
        assert rim.max() == 0
        rows, columns = np.nonzero(cover > 20)
        extent = max(rows.max() - rows.min(), columns.max() - columns.min()) + 1
        assert 0.72 * 96 <= extent <= 0.93 * 96


def test_emblem_stands_out_on_every_colour_and_pattern():
    for colour in COLOURS:
        for pattern in PATTERNS:
            bare, _ = _shoot(Look("backpack", colour, pattern, "none"), seed=2)
            badge, _ = _shoot(Look("backpack", colour, pattern, "star"), seed=2)
            where = np.abs(badge - bare).max(axis=2) > 25
            tones = badge[where].mean(axis=1)
            # Disc and glyph: light and dark are both there, far apart.
            assert np.quantile(tones, 0.95) - np.quantile(tones, 0.05) > 110, (colour, pattern)


def test_colours_of_plain_products_are_told_apart_by_the_nearest_base_tone():
    base = np.array([TONES[colour].base for colour in COLOURS])  # (10, 3)
    right = total = 0
    for kind in ALL_TYPES:
        for seed in range(2):
            shots = {c: _shoot(Look(kind, c, "plain", "none"), seed)[0] for c in COLOURS}
            # What carries the colour is what differs between a black and a white product.
            carries = np.abs(shots["white"] - shots["black"]).min(axis=2) > 100
            assert carries.mean() > 0.08, kind
            for colour, shot in shots.items():
                mean = shot[carries].mean(axis=0)
                nearest = COLOURS[int(((base - mean) ** 2).sum(axis=1).argmin())]
                right += nearest == colour
                total += 1
    assert right / total >= 0.95


def test_small_picture_is_the_large_one_reduced():
    distances = []
    for look in _sample(16, seed=4):
        large = draw(look, 7, 256).resize((96, 96), Image.Resampling.LANCZOS)
        distances.append(np.abs(_pixels(large) - _pixels(draw(look, 7, 96))).mean())
    assert max(distances) < 6 and np.mean(distances) < 3.5


def test_pictures_stay_small_as_webp():
    sizes = []
    for look in _sample(12, seed=9):
        file = io.BytesIO()
        draw(look, 0).save(file, "webp", quality=82)
        sizes.append(len(file.getvalue()))
    assert np.mean(sizes) < 11_000
