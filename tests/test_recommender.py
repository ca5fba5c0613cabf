"""Recommending from ids, pictures and new items; adding items without training."""

import math
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
from fake_bundle import FakeEncoder, picture
from PIL import Image

import tpad
from tpad import Bundle, NewItem, Recommender
from tpad.content import Content, EncodingCache
from tpad.errors import ConfigError, DataError, ImageError, ModelError
from tpad.model.session.session_matrix import LEAST_WEIGHT


@pytest.fixture
def recommender(fake_bundle) -> Recommender:
    return tpad.load(fake_bundle, encoder=FakeEncoder())


def calls(recommender):
    return recommender.bundle.encoder.calls


def new_items(n=3):
    return {f"new-{i}": NewItem(picture("blue", i), f"blue case no. {i}") for i in range(n)}


class TestRecommend:
    def test_the_table(self, recommender):
        found = recommender.recommend(["item-0001", "item-0044"], k=7)
        assert list(found.columns) == ["item_id", "score", "rank", "is_cold"]
        assert found["rank"].tolist() == list(range(1, 8))
        assert (found["score"].diff().dropna() <= 0).all()
        assert not set(found["item_id"]) & {"item-0001", "item-0044"}
        cold = dict(zip(recommender.items["item_id"], recommender.bundle.cold, strict=True))
        assert found["is_cold"].tolist() == [cold[item_id] for item_id in found["item_id"]]

    @pytest.mark.parametrize("model", ["tpad", "vision"])
    def test_it_is_the_best_of_the_scores(self, recommender, model):
        session = ["item-0003", picture("red", 5)]
        scores = recommender.scores(session, model)
        assert scores.shape == (60,) and scores.dtype == np.float32
        found = recommender.recommend(session, k=10, exclude_seen=False, model=model)
        best = np.argsort(-scores, kind="stable")[:10]
        assert found["item_id"].tolist() == recommender.items["item_id"][best].tolist()
        np.testing.assert_allclose(found["score"], scores[best], rtol=1e-4, atol=1e-5)

    def test_an_id_session_scores_as_the_session_model_does(self, recommender):
        rows = np.array([4, 17, 9], np.int32)
        expected = recommender.bundle.recommenders["knowledge"].scores([rows])[0]
        session = [f"item-{row:04d}" for row in rows]
        np.testing.assert_allclose(
            recommender.scores(session, "knowledge"), expected, rtol=1e-5, atol=1e-5
        )

    def test_an_items_own_content_scores_as_its_id(self, recommender):
        """A cold item given as picture and text is the same to the model as its row."""
        row = int(np.flatnonzero(recommender.cold)[0])
        item = recommender.items.iloc[row]
        same = NewItem(
            recommender.image(item.item_id), item.title, item.description, item.category, item.price
        )
        for session in ([same], ["item-0002", same], [same, "item-0002"]):
            by_id = [item.item_id if element is same else element for element in session]
            # The vectors are equal; float32 sums over one item and over many round differently.
            np.testing.assert_allclose(
                recommender.scores(session), recommender.scores(by_id), rtol=1e-5, atol=1e-5
            )
        np.testing.assert_array_equal(*recommender.encode([same, item.item_id]))

    def test_faiss_gives_the_same(self, fake_bundle, recommender):
        other = Recommender(recommender.bundle, search="faiss")
        for session in (["item-0001"], ["item-0001", NewItem(title="green shoe")]):
            pd.testing.assert_frame_equal(
                recommender.recommend(session), other.recommend(session), check_exact=True
            )

    def test_order_matters(self, recommender):
        there, back = (
            recommender.scores(s) for s in (["item-0001", "item-0030"], ["item-0030", "item-0001"])
        )
        assert not np.allclose(there, back, atol=1e-3)

    def test_only_recent_items_of_a_long_session_count(self, recommender):
        session = [f"item-{i % 60:04d}" for i in range(200)]
        model = recommender.bundle.recommenders["tpad"]
        # The memory and the cosine look further back than the network, until weights are negligible.
        recency = max(model.memory.config.recency, model.weights.recency)
        length = math.ceil(-recency * math.log(LEAST_WEIGHT))
        assert length > model.network.config.max_length
        np.testing.assert_allclose(
            recommender.scores(session), recommender.scores(session[-length:]), atol=1e-6
        )
        shorter = recommender.scores(session[1 - length :])
        assert not np.allclose(recommender.scores(session), shorter, rtol=0, atol=1e-6)

    def test_seen_items(self, recommender):
        session = ["item-0001", "item-0001", picture()]
        everything = recommender.recommend(session, k=100, exclude_seen=False)
        rest = recommender.recommend(session, k=100)
        assert len(everything) == 60 and len(rest) == 59
        assert set(everything["item_id"]) - set(rest["item_id"]) == {"item-0001"}

    def test_all_items_seen(self, recommender):
        found = recommender.recommend(recommender.items["item_id"].tolist())
        assert found.empty and list(found.columns) == ["item_id", "score", "rank", "is_cold"]


class TestExploration:
    def test_the_share_of_new_items_rises(self, recommender):
        session = ["item-0001", "item-0003"]
        shown = [
            recommender.recommend(session, k=10, exploration=share)["is_cold"].sum()
            for share in (0.0, 0.1, 0.5, 1.0)
        ]
        assert shown[0] == 0 and shown == sorted(shown) and shown[-1] > 0
        never = recommender.recommend(session, k=100, exploration=0.0)
        assert len(never) == (~recommender.cold).sum() - 2

    def test_scores_and_comparisons_take_it_too(self, recommender):
        scores = recommender.scores(["item-0001"], exploration=0.0)
        assert (np.isinf(scores) == recommender.cold).all()
        cold = recommender.items["item_id"][int(np.flatnonzero(recommender.cold)[0])]
        some = [cold, "item-0002", NewItem(title="red case")]
        found = recommender.scores_of(["item-0001"], some, exploration=0.0)
        assert np.isinf(found).tolist() == [True, False, True]
        table = recommender.compare(["item-0001"], ["tpad", "vision"], k=5, exploration=0.0)
        assert not table["is_cold"].any()

    @pytest.mark.parametrize("share", [-0.5, 2.0, float("nan")])
    def test_what_is_no_share_is_refused(self, recommender, share):
        with pytest.raises(ConfigError, match="a share from 0 to 1"):
            recommender.recommend(["item-0001"], exploration=share)


class TestScoreParts:
    def test_they_add_up_and_name_the_training_sessions(self, recommender):
        session = ["item-0002", NewItem(title="red case"), "item-0001"]
        scores, total = recommender.scores(session), {}
        train = recommender.bundle.dataset.train
        seen = 0
        for item in ("item-0004", "item-0005", "item-0020"):
            parts = recommender.score_parts(session, item)
            total[item] = parts.total
            assert len(parts.evidence) == len(parts.cosine_of) == len(parts.memory_of) == 3
            for one in (piece for group in parts.evidence for piece in group):
                pair = one.source, one.target
                expected = sum(follows(walk.tolist(), *pair) for walk in train.items)
                assert one.sessions == expected
                seen += 1
        assert seen
        rows = [int(item[-4:]) for item in total]
        np.testing.assert_allclose(np.diff([*total.values()]), np.diff(scores[rows]), rtol=1e-3)

    def test_unknown_items_are_refused(self, recommender):
        with pytest.raises(DataError, match="no item 'x'"):
            recommender.score_parts(["item-0001"], "x")


def follows(walk: list, earlier: int, later: int) -> bool:
    return earlier in walk and later in walk[walk.index(earlier) + 1 :]


class TestRefuses:
    @pytest.mark.parametrize(
        ("session", "options", "error", "words"),
        [
            ([], {}, ConfigError, "session is empty"),
            (["item-0001"], {"k": 0}, ConfigError, "k must be at least 1"),
            (["item-0001"], {"model": "gpt"}, ConfigError, "choose from tpad, vision_tfidf"),
            (["item-001"], {}, DataError, "no item 'item-001'.*did you mean item-00"),
            (["zzz"], {}, DataError, "no item 'zzz' in the catalogue"),
            ("item-0001", {}, ConfigError, "list of elements"),
            (NewItem(title="x"), {}, ConfigError, "list of elements"),
            ([7], {}, DataError, "must be an item id .* not int"),
            ([NewItem()], {}, DataError, "needs a picture, a title"),
            ([NewItem(title="x", price=-1)], {}, DataError, "price"),
            ([NewItem(title="x", price="dear")], {}, DataError, "price"),
            ([NewItem(title=None)], {}, DataError, "must be text"),
            ([Image.new("RGB", (2, 2))], {}, ImageError, "2×2 pixels"),
        ],
    )
    def test_with_one_sentence(self, recommender, session, options, error, words):
        with pytest.raises(error, match=words) as raised:
            recommender.recommend(session, **options)
        assert "\n" not in str(raised.value)
        assert not calls(recommender)

    def test_an_encoder_that_does_not_fit(self, fake_bundle):
        class Broken(FakeEncoder):
            def encode(self, items, sets=None):
                return {name: np.full((len(items), 24), np.nan) for name in sets}

        recommender = tpad.load(fake_bundle, encoder=Broken())
        recommender.recommend(["item-0001"])  # ids need no encoder
        with pytest.raises(ModelError, match="not finite"):
            recommender.recommend([picture()])


class TestEncoding:
    def test_once_for_equal_contents(self, recommender):
        recommender.recommend([picture("red", 1), "item-0003", picture("red", 1)])
        recommender.recommend(["item-0005", NewItem(image=picture("red", 1).convert("RGBA"))])
        assert calls(recommender) == [(1, ("tpad",))]
        recommender.recommend([NewItem(picture("red", 1), "a title")])
        recommender.recommend([picture("red", 2)])
        assert len(calls(recommender)) == 3

    def test_compare_encodes_once_for_all_models(self, recommender):
        recommender.compare(["item-0001", picture()], ["tpad", "vision", "knowledge"])
        assert calls(recommender) == [(1, ("tpad", "vision", "knowledge"))]
        recommender.recommend([picture()], model="vision_tfidf")
        assert calls(recommender)[1:] == [(1, ("vision_tfidf",))]

    def test_mixed_elements(self, recommender):
        vectors = recommender.encode([picture("red"), "item-0004", NewItem(title="red case")])
        expected = FakeEncoder().encode([NewItem(picture("red")), NewItem(title="red case")])[
            "tpad"
        ]
        assert vectors.shape == (3, 24) and vectors.dtype == np.float32
        np.testing.assert_allclose(vectors[[0, 2]], expected, rtol=1e-3)  # half precision
        np.testing.assert_array_equal(vectors[1], recommender.bundle.embeddings["tpad"][4])
        assert recommender.encode([], "vision").shape == (0, 12)

    def test_a_price_of_nan_is_none(self):
        assert Content.of(NewItem(title="x", price=float("nan"))).item.price is None

    def test_the_oldest_are_forgotten(self, recommender):
        cache = EncodingCache(recommender.bundle, size=2)
        a, b, c = (Content.of(NewItem(title=title)) for title in "abc")
        for content in (a, b, a, c, a):
            cache.encode([content], ["tpad"])
        assert len(calls(recommender)) == 3  # a stayed, being used again
        cache.encode([b], ["tpad"])
        assert len(calls(recommender)) == 4
        # More at once than are kept is no matter.
        assert cache.encode([a, b, c], ["tpad"])["tpad"].shape == (3, 24)


class TestCompare:
    def test_is_each_models_own_answer(self, recommender):
        session = ["item-0001", picture()]
        table = recommender.compare(session, ["vision", "tpad"], k=4)
        assert list(table.columns) == ["model", "item_id", "score", "rank", "is_cold"]
        assert table["model"].tolist() == ["vision"] * 4 + ["tpad"] * 4
        for model, part in table.groupby("model"):
            pd.testing.assert_frame_equal(
                part.drop(columns="model").reset_index(drop=True),
                recommender.recommend(session, k=4, model=model),
            )

    def test_all_models_by_default(self, recommender):
        table = recommender.compare(["item-0001"], k=2)
        assert table["model"].unique().tolist() == list(recommender.models)

    def test_bad_models(self, recommender):
        with pytest.raises(ConfigError, match="name at least one"):
            recommender.compare(["item-0001"], [])
        with pytest.raises(ConfigError, match="no model 'x'"):
            recommender.compare(["item-0001"], ["tpad", "x"])


class TestAddItems:
    def test_new_rows_are_ranked_under_every_model(self, recommender):
        before = {m: recommender.scores(["item-0001"], m) for m in recommender.models}
        assert recommender.add_items(new_items(3)) == 3
        assert recommender.items["item_id"].tolist()[-3:] == ["new-0", "new-1", "new-2"]
        assert isinstance(recommender.items.index, pd.RangeIndex)
        for model in recommender.models:
            scores = recommender.scores(["item-0001"], model)
            assert scores.shape == (63,)
            np.testing.assert_allclose(scores[:60], before[model], rtol=1e-5, atol=1e-6)
            found = recommender.recommend(["item-0001"], k=100, model=model)
            new = found[found["item_id"].str.startswith("new-")]
            assert len(new) == 3 and new["is_cold"].all()
        assert [n for n, _ in calls(recommender)] == [3]  # one forward served every set

    def test_as_elements_of_a_session(self, recommender):
        items = new_items(2)
        recommender.add_items(list(items.items()))
        np.testing.assert_allclose(
            recommender.scores(["new-1", "item-0002"]),
            recommender.scores([items["new-1"], "item-0002"]),
            rtol=1e-5,
            atol=1e-6,
        )
        assert "new-1" not in recommender.recommend(["new-1"], k=99)["item_id"].tolist()
        np.testing.assert_array_equal(
            recommender.encode(["new-0"], "vision"), recommender.encode([items["new-0"]], "vision")
        )

    def test_from_a_table_with_pictures(self, recommender, tmp_path):
        picture("green", 3).save(tmp_path / "g.png")
        (tmp_path / "more.csv").write_text(
            "item_id,title,price,image,shelf\nt-1,green cap,3.5,g.png,A\nt-2,a red ball,,,B\n"
        )
        assert recommender.add_items(tmp_path / "more.csv") == 2
        assert recommender.image("t-1", 32).size == (32, 32)
        assert recommender.image("t-2") is None
        added = recommender.items.iloc[-2:]
        assert added["shelf"].tolist() == ["A", "B"]
        assert added["price"].tolist()[0] == 3.5
        expected = FakeEncoder().encode([NewItem(picture("green", 3), "green cap", price=3.5)])
        np.testing.assert_allclose(recommender.encode(["t-1"]), expected["tpad"], rtol=1e-3)
        # The same from a frame.
        frame = pd.read_csv(tmp_path / "more.csv").assign(item_id=["u-1", "u-2"])
        assert recommender.add_items(frame, image_root=tmp_path) == 2
        assert recommender.image("u-1") is not None
        np.testing.assert_array_equal(recommender.encode(["u-1"]), recommender.encode(["t-1"]))
        assert recommender.add_items(frame.assign(item_id=["v-1", "v-2"])) == 2
        assert recommender.image("v-1") is None

    def test_more_at_once_than_a_batch(self, recommender):
        assert recommender.add_items(new_items(40)) == 40
        np.testing.assert_allclose(
            recommender.encode([f"new-{i}" for i in range(40)]),
            FakeEncoder().encode(list(new_items(40).values()))["tpad"],
            rtol=1e-3,
        )

    @pytest.mark.parametrize(
        ("table", "error", "words"),
        [
            (
                {"a": NewItem(title="x"), "item-0003": NewItem(title="y")},
                DataError,
                "'item-0003' is already in the catalogue",
            ),
            ([("a", NewItem(title="x")), ("a", NewItem(title="y"))], DataError, "duplicate"),
            ({"": NewItem(title="x")}, DataError, "item_id"),
            ({"a": NewItem()}, DataError, "without title, image and description"),
            ({"a": NewItem(title="x", price=-2)}, DataError, "negative price"),
            ({"a": NewItem(image=Image.new("RGB", (1, 1)))}, ImageError, "Item 'a': .*1×1"),
            ([], DataError, "no new items"),
            ([NewItem(title="x")], DataError, "pairs"),
            (pd.DataFrame({"title": ["x"]}), DataError, "no column 'item_id'"),
            ("nowhere.csv", DataError, "does not exist"),
        ],
    )
    def test_faulty_tables_add_nothing(self, recommender, table, error, words):
        with pytest.raises(error, match=words):
            recommender.add_items(table)
        assert len(recommender.items) == 60
        assert recommender.scores(["item-0001"]).shape == (60,)

    def test_unreadable_pictures(self, recommender, tmp_path):
        (tmp_path / "bad.png").write_bytes(b"\x89PNG nothing")
        (tmp_path / "more.csv").write_text("item_id,title,image\nt-1,green cap,bad.png\n")
        with pytest.raises(ImageError, match=r"Item 't-1': bad\.png is not a picture"):
            recommender.add_items(tmp_path / "more.csv")
        assert recommender.add_items(tmp_path / "more.csv", strict=False) == 1
        assert recommender.image("t-1") is None
        np.testing.assert_allclose(
            recommender.encode(["t-1"]), recommender.encode([NewItem(title="green cap")]), atol=1e-6
        )

    def test_lenient_tables_keep_what_they_can(self, recommender):
        pairs = [("a", NewItem(title="x")), ("a", NewItem(title="y")), ("b", NewItem(picture()))]
        assert recommender.add_items(pairs, strict=False) == 2
        assert recommender.items["title"].tolist()[-2:] == ["x", ""]
        assert recommender.image("b").tobytes() == picture().tobytes()

    def test_another_recommender_is_not_touched(self, fake_bundle):
        bundle = Bundle.load(fake_bundle, encoder=FakeEncoder())
        first, second = Recommender(bundle), Recommender(bundle)
        first.add_items(new_items(2))
        assert (len(first.items), len(second.items)) == (62, 60)
        assert second.scores(["item-0001"]).shape == (60,)

    def test_while_others_recommend(self, recommender):
        """Every answer is one of a catalogue that existed at some moment."""
        stop = threading.Event()

        def ask():
            while True:
                last = stop.is_set()
                scores = recommender.scores(["item-0001"])
                found = recommender.recommend(["item-0001", picture("red", 1)], k=1000)
                assert len(scores) % 10 == 0
                assert len(found) % 10 == 9 and found["item_id"].is_unique
                if last:
                    return len(scores)

        with ThreadPoolExecutor(3) as pool:
            asking = [pool.submit(ask) for _ in range(3)]
            for start in range(0, 50, 10):
                batch = {f"n-{i}": NewItem(title=f"n {i}") for i in range(start, start + 10)}
                recommender.add_items(batch)
            stop.set()
            assert [future.result(timeout=60) for future in asking] == [110] * 3


def test_images_of_the_catalogue(recommender):
    assert recommender.image("item-0002").size == (64, 64)
    with pytest.raises(DataError, match="no item 'item-9999'"):
        recommender.image("item-9999")
