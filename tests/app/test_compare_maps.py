"""Maps of the catalogue: the layout, where it is kept, and the plot of it."""

import threading

import numpy as np
import pandas as pd
import pytest
from fake_bundle import FakeEncoder
from sklearn.manifold import trustworthiness

from app.compare import maps, tab as compare
from app.compare.map_figure import COLOURS, OTHER, category_colours, map_figure
from app.compare.maps import Maps, fingerprint, place_near_neighbours, project
from app.shell.session import Element, VisitorSession
from app.ui import open_shop
from tpad.bundle import Bundle
from tpad.errors import ConfigError, TpadError
from tpad.items import NewItem
from tpad.recommender import Recommender


@pytest.fixture(scope="module")
def bundle(fake_bundle):
    return Bundle.load(fake_bundle, encoder=FakeEncoder())


@pytest.fixture
def laid_out(monkeypatch):
    """Counts the layouts; each is two columns of the vectors."""
    calls = []

    def quick(vectors, *_):
        calls.append(len(vectors))
        return np.ascontiguousarray(vectors[:, :2], dtype=np.float32)

    monkeypatch.setattr(maps, "project", quick)
    return calls


def ready(made: Maps, name: str) -> np.ndarray:
    """The points of a map, once its thread is done."""
    made.points(name)
    for thread in threading.enumerate():
        if thread.name == f"map {name}":
            thread.join(60)
    points = made.points(name)
    assert points is not None
    return points


def groups(n: int = 40) -> np.ndarray:
    rng = np.random.default_rng(0)
    centers = rng.normal(size=(3, 12)) * 8
    return (centers[np.arange(n) % 3] + rng.normal(size=(n, 12))).astype(np.float32)


def test_neighbours_stay_neighbours_and_the_same_seed_gives_the_same_map():
    vectors = groups()
    points = project(vectors)
    assert points.shape == (40, 2)
    assert np.abs(points).max() == pytest.approx(1)
    assert trustworthiness(vectors, points, n_neighbors=5) > 0.9
    np.testing.assert_array_equal(points, project(vectors))


@pytest.mark.parametrize("n", [0, 1, 4, 5])
def test_the_smallest_catalogues_have_a_map_too(n):
    points = project(np.random.default_rng(0).normal(size=(n, 6)))
    assert points.shape == (n, 2)
    assert np.isfinite(points).all()


def test_what_the_sample_leaves_out_lies_among_its_like():
    vectors = groups(90)
    points = project(vectors, most=30)
    assert np.isfinite(points).all()
    centers = np.stack([points[group::3].mean(0) for group in range(3)])
    distances = np.linalg.norm(points[:, None] - centers, axis=2)
    assert (distances.argmin(1) == np.arange(90) % 3).mean() > 0.9


def test_a_new_point_lies_between_its_neighbours_and_a_known_one_where_it_is():
    known = np.array([[0.0, 0], [2, 0], *[[50 + i, 50] for i in range(5)]])
    points = np.array([[0.0, 0], [1, 1], *[[9.0, 9]] * 5])
    placed = place_near_neighbours(np.array([[2.0, 0], [1, 0]]), known, points)
    assert placed[0] == pytest.approx([1, 1], abs=1e-3)
    assert placed[1] == pytest.approx([0.5, 0.5], abs=0.02)


def test_a_map_is_computed_once_and_then_kept_in_a_file(bundle, tmp_path, laid_out):
    first = ready(Maps(bundle, tmp_path / "deep" / "maps"), "vision")
    again = ready(Maps(bundle, tmp_path / "deep" / "maps"), "vision")
    assert laid_out == [60]
    np.testing.assert_array_equal(first, again)
    files = [path.name for path in (tmp_path / "deep" / "maps").iterdir()]
    features = bundle.recommenders["vision"].network.features
    assert files == [f"{fingerprint(bundle.info, 'vision', features)}.npz"]


def test_another_set_dataset_or_embedding_has_another_file(bundle):
    features = bundle.recommenders["vision"].network.features
    other = {"dataset": {"fingerprint": "another"}}
    names = {
        fingerprint(bundle.info, "vision", features),
        fingerprint(bundle.info, "tpad", features),
        fingerprint(bundle.info, "vision", features + 1),
        fingerprint(other, "vision", features),
    }
    assert len(names) == 4


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(b"nonsense"),
        lambda path: path.write_bytes(path.read_bytes()[:100]),
        lambda path: np.savez(path, points=np.zeros((3, 2), np.float32)),
        lambda path: np.savez(path, points=np.full((60, 2), np.nan, np.float32)),
        lambda path: np.savez(path, points=np.array([[{}] * 2] * 60, dtype=object)),
        lambda path: np.savez(path, others=np.zeros(1)),
    ],
)
def test_a_damaged_file_is_made_again(bundle, tmp_path, laid_out, damage):
    first = ready(Maps(bundle, tmp_path), "vision")
    (path,) = tmp_path.iterdir()
    damage(path)
    np.testing.assert_array_equal(ready(Maps(bundle, tmp_path), "vision"), first)
    assert len(laid_out) == 2
    ready(Maps(bundle, tmp_path), "vision")
    assert len(laid_out) == 2  # the file is whole again


def test_where_nothing_can_be_written_the_map_stays_in_memory(bundle, tmp_path, laid_out):
    (tmp_path / "file").write_text("no folder")
    made = Maps(bundle, tmp_path / "file" / "maps")
    ready(made, "vision")
    ready(made, "vision")
    assert len(laid_out) == 1


def test_many_who_ask_at_once_start_one_computation(bundle, tmp_path, monkeypatch):
    begun, calls = threading.Event(), []

    def slow(vectors):
        calls.append(1)
        begun.wait(60)
        return np.zeros((len(vectors), 2), np.float32)

    monkeypatch.setattr(maps, "project", slow)
    made = Maps(bundle, tmp_path)
    assert [made.points("vision") for _ in range(4)] == [None] * 4
    assert made.seconds("vision") > 0
    begun.set()
    ready(made, "vision")
    assert len(calls) == 1


def test_a_map_that_fails_says_so_instead_of_keeping_the_page_waiting(
    bundle, tmp_path, monkeypatch
):
    def broken(vectors):
        raise ValueError("no such luck")

    monkeypatch.setattr(maps, "project", broken)
    made = Maps(bundle, tmp_path)
    with pytest.raises(TpadError, match="could not be computed"):
        ready(made, "vision")


def test_the_tab_waits_for_a_map_and_then_draws_it(fake_bundle, tmp_path, monkeypatch):
    go = threading.Event()

    def slow(vectors):
        go.wait(60)
        return np.ascontiguousarray(vectors[:, :2], dtype=np.float32)

    monkeypatch.setattr(maps, "project", slow)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    shop = open_shop(Recommender(Bundle.load(fake_bundle, encoder=FakeEncoder())))
    own, session = Maps(shop.recommender.bundle), VisitorSession()
    for item in ("item-0001", "item-0003"):
        session = session.add(shop.catalogue.element(item))
    content = NewItem(title="red case no. 0", category="Phones")
    session = session.add(Element("", "mine", content=content, key="upload:1"))
    figure, note, clock = compare.render_map(shop, own, session, "vision", 5)
    assert figure is None
    assert "Laying out 60 products" in note
    assert clock.active
    go.set()
    points = ready(own, "vision")
    figure, note, clock = compare.render_map(shop, own, session, "vision", 5)
    assert not clock.active
    assert "not in the catalogue" in note
    path = next(trace for trace in figure.data if trace.name == "Session, in order")
    assert path.x[1] == pytest.approx(points[3, 0])
    assert list(path.text) == ["1", "2", "3"]
    low, high = points.min(0), points.max(0)
    assert low[0] <= path.x[2] <= high[0]
    expected = shop.recommender.recommend(session.values, 5, True, "vision")["item_id"]
    found = next(trace for trace in figure.data if trace.name == "Recommended")
    rows = [shop.catalogue.rows[item] for item in expected]
    np.testing.assert_allclose(found.x, points[rows, 0])
    empty, _, _ = compare.render_map(shop, own, VisitorSession(), "vision", 5)
    assert {trace.name for trace in empty.data}.isdisjoint({"Recommended", "Session, in order"})
    with pytest.raises(ConfigError, match="reload"):
        compare.render_map(shop, own, session, "no such", 5)


def items(n: int, categories: list[str]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "title": [f"<b>{k}</b> %{{x}}" for k in range(n)],
            "category": [categories[k % len(categories)] for k in range(n)],
            "is_cold": [k == 1 for k in range(n)],
        }
    )


NOBODY = pd.DataFrame({"title": [], "x": [], "y": []})
NOTHING = pd.DataFrame({"row": [], "rank": []})


def test_each_of_eight_categories_has_a_colour_and_further_ones_are_grey():
    names = [f"c{k}" for k in range(10)]
    counts = pd.Series([name for k, name in enumerate(names) for _ in range(20 - k)])
    colours = category_colours(counts)
    assert [colours[name] for name in names[:8]] == list(COLOURS)
    assert len(set(COLOURS)) == 8
    assert colours["c8"] == colours["c9"] == OTHER


def test_cold_items_are_hollow_and_titles_are_no_markup():
    figure = map_figure(items(6, ["a", "b"]), np.zeros((6, 2)), NOBODY, NOTHING)
    by_name = {trace.name: trace for trace in figure.data}
    assert list(by_name["B"].marker.symbol) == ["circle-open", "circle", "circle"]
    assert "never clicked" in by_name["B"].text[0]
    assert "<b>" not in by_name["A"].text[0]
    assert "%{" not in by_name["A"].text[0]


def test_items_without_category_are_drawn_too():
    figure = map_figure(items(4, [""]), np.zeros((4, 2)), NOBODY, NOTHING)
    assert [len(trace.x) for trace in figure.data] == [4]


def test_a_path_has_numbers_and_one_arrow_for_each_step():
    session = pd.DataFrame({"title": list("abc"), "x": [0.0, 1, 1], "y": [0.0, 1, 1]})
    recommended = pd.DataFrame({"row": [2, 0], "rank": [1, 2]})
    points = np.arange(12.0).reshape(6, 2)
    figure = map_figure(items(6, ["a"]), points, session, recommended, target=5)
    assert len(figure.layout.annotations) == 1  # the second step goes nowhere
    assert (figure.layout.annotations[0].ax, figure.layout.annotations[0].x) == (0, 1)
    by_name = {trace.name: trace for trace in figure.data}
    assert list(by_name["Session, in order"].text) == ["1", "2", "3"]
    assert list(by_name["Recommended"].x) == [4, 0]
    assert list(by_name["True next item"].y) == [11]
    assert figure.layout.plot_bgcolor == "rgba(0,0,0,0)"
