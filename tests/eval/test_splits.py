"""Splits hold out what they should, change nothing else, and depend only on their seed."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings, strategies as st
from small_shops import dataset_of

from eval.protocol import CASES, Protocol, TestCases
from eval.splits.kinds import draw_items
from eval.splits.split import Split, SplitConfig, make_split
from tpad import ConfigError, DataError, Dataset
from tpad.data.sessions import Sessions

DAY = 86_400
PARTS = ("train", "validation", "test")
ITEM_SPLITS = ("cold_items", "few_shot", "new_category", "launch_date")


def random_shop(seed: int, n_items: int = 30, counts=(80, 15, 25), times: bool = True) -> Dataset:
    """Random sessions of one to six clicks, six sessions a day; a later item appears later."""
    rng = np.random.default_rng(seed)
    at, parts = 0, []
    for count in counts:
        part = []
        for _ in range(count):
            born = 1 + int((n_items - 1) * (at + 1) / sum(counts))
            part.append(rng.integers(0, born, rng.integers(1, 7)))
            at += 1
        parts.append(part)
    bare = dataset_of(*parts, n_items, category=[f"kind {i % 4}" for i in range(n_items)])
    starts = np.arange(at) * (DAY // 6)
    dated, begin = {}, 0
    for name, count in zip(PARTS, counts, strict=True):
        sessions, own = getattr(bare, name), starts[begin : begin + count]
        clicks = [
            start + 1200 * np.arange(len(items))
            for start, items in zip(own, sessions.items, strict=True)
        ]
        dated[name] = replace(sessions, starts=own, times=clicks if times else None)
        begin += count
    return replace(bare, **dated)


def clicks_of(*parts: Sessions) -> Counter:
    """How often each (session, item, time) occurs."""
    return Counter(
        (name, int(item), int(time))
        for part in parts
        for name, items, times in zip(part.ids, part.items, part.times, strict=True)
        for item, time in zip(items, times, strict=True)
    )


def all_clicks(dataset: Dataset) -> Counter:
    return clicks_of(dataset.train, dataset.validation, dataset.test)


def split_or_nothing(dataset: Dataset, config: SplitConfig) -> Split:
    """The split; an example in which nothing is left is drawn again."""
    try:
        return make_split(dataset, config)
    except DataError:
        assume(False)
        raise


configs = st.one_of(
    st.builds(
        SplitConfig,
        st.just("cold_items"),
        st.integers(0, 99),
        draw=st.sampled_from(["random", "popularity", "category"]),
        fraction=st.floats(0.1, 0.5),
    ),
    st.builds(
        SplitConfig,
        st.just("few_shot"),
        st.integers(0, 99),
        draw=st.sampled_from(["random", "popularity", "category"]),
        fraction=st.floats(0.1, 0.5),
        n=st.integers(0, 6),
    ),
    st.builds(
        SplitConfig,
        st.just("new_category"),
        st.integers(0, 99),
        category=st.sampled_from([None, "kind 0", "kind 3"]),
    ),
    st.builds(
        SplitConfig, st.just("launch_date"), day=st.sampled_from(["1970-01-08", "1970-01-13"])
    ),
    st.builds(SplitConfig, st.just("short_sessions"), length=st.integers(1, 3)),
    st.builds(SplitConfig, st.just("temporal"), test_fraction=st.floats(0.05, 0.5)),
    st.just(SplitConfig("given")),
)
seeds = st.integers(0, 50)


@settings(max_examples=40)
@given(seeds, configs)
def test_only_clicks_on_held_out_items_are_removed(seed, config):
    dataset = random_shop(seed)
    before = dataset.fingerprint
    split = split_or_nothing(dataset, config)
    cut = split.dataset
    assert replace(dataset).fingerprint == before  # a copy, whose fingerprint is computed anew
    assert all_clicks(cut) <= all_clicks(dataset)
    assert cut.items is dataset.items
    ids = np.concatenate([getattr(cut, part).ids for part in PARTS])
    assert len(set(ids)) == len(ids)
    if config.kind in ("temporal", "given"):
        assert all_clicks(cut) == all_clicks(dataset)
    if config.kind in ("cold_items", "few_shot", "new_category"):
        assert clicks_of(cut.test) == clicks_of(dataset.test)
    if config.kind == "short_sessions":
        assert clicks_of(cut.train, cut.validation) == clicks_of(dataset.train, dataset.validation)
        assert (TestCases.of(cut).lengths <= config.length).all()


@settings(max_examples=40)
@given(seeds, configs)
def test_no_held_out_item_is_trained_on(seed, config):
    split = split_or_nothing(random_shop(seed), config)
    train = split.dataset.popularity
    validation = np.bincount(split.dataset.validation.clicks, minlength=30)
    assert not (train + validation)[split.held_out].any()
    assert not validation[split.few_shot].any()
    assert (train[split.few_shot] <= split.params.get("n", 0)).all()
    assert (train[split.roles == "warm"] > 0).all() and not train[split.roles == "cold"].any()
    chosen = split.held_out | split.few_shot
    assert chosen.any() == (config.kind in ITEM_SPLITS)
    targets = split.dataset.test.prefixes().targets
    assert split.info["cases"] == len(targets)
    assert split.info["chosen_cases"] == chosen[targets].sum()
    assert chosen[targets].any() == (config.kind in ITEM_SPLITS)
    roles = ("held_out", "few_shot", "warm", "cold")
    assert sum(split.info[role] for role in roles) == 30 == len(dict(split.rows()))
    assert dict(split.rows())["i7"] == split.roles[7]


@settings(max_examples=20)
@given(seeds, configs)
def test_equal_seeds_give_equal_splits(seed, config):
    first = split_or_nothing(random_shop(seed), config)
    second = make_split(random_shop(seed), SplitConfig.parse(config.name))
    assert first.fingerprint == second.fingerprint and first.name == second.name
    assert first.dataset.fingerprint == second.dataset.fingerprint
    assert list(first.rows()) == list(second.rows()) and first.info == second.info


@pytest.mark.parametrize("draw", ["random", "popularity", "category"])
@pytest.mark.parametrize("kind", ["cold_items", "few_shot"])
def test_different_seeds_draw_different_items(kind, draw):
    dataset = random_shop(0)
    splits = [make_split(dataset, SplitConfig(kind, seed, draw=draw)) for seed in range(8)]
    chosen = {(split.held_out | split.few_shot).tobytes() for split in splits}
    assert len(chosen) == 8 == len({split.fingerprint for split in splits})


def test_a_drawn_category_follows_the_seed():
    dataset = random_shop(0)
    drawn = set()
    for seed in range(20):
        split = make_split(dataset, SplitConfig("new_category", seed))
        names = set(dataset.items["category"][split.held_out])
        assert names == {split.params["category"]}
        drawn |= names
    assert drawn == {f"kind {i}" for i in range(4)}


@settings(max_examples=40)
@given(
    st.integers(0, 999), st.floats(0.05, 0.9), st.sampled_from(["random", "popularity", "category"])
)
def test_every_stratum_gives_its_share(seed, fraction, draw):
    rng = np.random.default_rng(seed)
    n = 120
    clicks = [list(rng.zipf(1.6, 5).clip(max=n) - 1) for _ in range(60)]
    dataset = dataset_of(clicks, [], [], n, category=[f"c{row % 7}" for row in range(n)])
    pool = np.flatnonzero(~dataset.cold)
    assume(round(fraction * len(pool)) > 0)
    chosen = draw_items(dataset, draw, fraction, np.random.default_rng(seed))
    assert chosen.sum() == round(fraction * len(pool)) and not chosen[dataset.cold].any()
    share = chosen.sum() / len(pool)
    if draw == "category":
        for name in set(dataset.items["category"]):
            rows = pool[(dataset.items["category"] == name).to_numpy()[pool]]
            assert abs(chosen[rows].sum() - share * len(rows)) < 1 + 1e-9


def test_popularity_strata_hold_out_the_best_sellers_too():
    # A random draw may miss all ten of the most clicked items; this one cannot.
    dataset = dataset_of([[row] * (100 - row) for row in range(100)], [], [], 100)
    for seed in range(30):
        chosen = draw_items(dataset, "popularity", 0.2, np.random.default_rng(seed))
        assert [int(chosen[start : start + 10].sum()) for start in range(0, 100, 10)] == [2] * 10


def test_few_shot_with_zero_clicks_equals_cold_items():
    dataset = random_shop(3)
    few = make_split(dataset, SplitConfig("few_shot", 5, n=0))
    cold = make_split(dataset, SplitConfig("cold_items", 5))
    assert few.dataset.fingerprint == cold.dataset.fingerprint
    np.testing.assert_array_equal(few.few_shot, cold.held_out)
    assert few.fingerprint != cold.fingerprint


def test_few_shot_items_keep_n_clicks():
    # Of an item's 40 clicks, each in a long session, 5 remain; those of the others all remain.
    dataset = dataset_of([[s % 4, 4, 5, 6, 7] for s in range(160)], [], [[1, 0, 2, 3, 4]], 8)
    split = make_split(dataset, SplitConfig("few_shot", 1, fraction=0.5, n=5))
    assert (split.dataset.popularity[split.few_shot] == 5).all() and split.few_shot.sum() == 4
    others = ~split.few_shot
    np.testing.assert_array_equal(split.dataset.popularity[others], dataset.popularity[others])


def test_sessions_with_a_single_click_left_are_removed():
    dataset = dataset_of(
        [[0, 1, 2], [1, 0], [2, 0, 1, 1, 2], [0]],
        [[1, 2], [2, 0, 1]],
        [[0, 1]],
        3,
        category=["a", "b", "a"],
    )
    cut = make_split(dataset, SplitConfig("new_category", category="b")).dataset
    assert [items.tolist() for items in cut.train.items] == [[0, 2], [2, 0, 2], [0]]
    assert cut.train.ids.tolist() == ["train0", "train2", "train3"]  # [0] was alone before
    assert [items.tolist() for items in cut.validation.items] == [[2, 0]]
    assert [items.tolist() for items in cut.test.items] == [[0, 1]]


def test_launch_date_splits_sessions_by_time():
    dataset = random_shop(1)
    split = make_split(dataset, SplitConfig("launch_date", day="1970-01-13"))
    end, cut = 13 * DAY, split.dataset
    learned = clicks_of(cut.train, cut.validation)
    assert max(time for _, _, time in learned) < end <= cut.test.starts.min()
    assert cut.train.starts.max() <= cut.validation.starts.min()
    parts = [getattr(dataset, part) for part in PARTS]
    after = {name for part in parts for name in part.ids[part.starts >= end]}
    assert set(cut.test.ids) == after and end in cut.test.starts  # one starts at midnight
    # Whoever is held out was first clicked later; everybody else was clicked by then.
    earlier = {item for _, item, time in all_clicks(dataset) if time < end}
    later = {item for _, item, time in all_clicks(dataset) if time >= end} - earlier
    assert set(np.flatnonzero(split.held_out)) == later
    # All that was there by then is trained on or validates, but for lone clicks.
    lost = Counter({c: n for c, n in all_clicks(dataset).items() if c[2] < end}) - learned
    assert all(count == 1 for count in Counter(name for name, _, _ in lost.elements()).values())


def test_a_session_that_continues_after_midnight_is_cut():
    times = [DAY - 20, DAY - 10, DAY + 10]
    base = dataset_of([[0, 1, 0]], [], [[1, 2]], 3)
    dataset = replace(
        base,
        train=replace(base.train, starts=np.array([times[0]]), times=[np.array(times)]),
        test=replace(base.test, starts=np.array([2 * DAY]), times=[2 * DAY + np.arange(2)]),
    )
    config = SplitConfig("launch_date", day="1970-01-01", validation_fraction=0.0)
    split = make_split(dataset, config)
    assert [items.tolist() for items in split.dataset.train.items] == [[0, 1]]
    assert split.roles.tolist() == ["warm", "warm", "held_out"]


def test_temporal_sessions_are_in_order_and_their_shares_right():
    cut = make_split(random_shop(2), SplitConfig("temporal", test_fraction=0.25)).dataset
    assert [len(cut.train), len(cut.validation), len(cut.test)] == [78, 12, 30]
    assert cut.train.starts.max() <= cut.validation.starts.min()
    assert cut.validation.starts.max() <= cut.test.starts.min()


@settings(max_examples=20)
@given(seeds, st.booleans())
def test_leave_one_out_has_one_target_per_user(seed, times):
    dataset = random_shop(seed, times=times)
    split = make_split(dataset, SplitConfig("leave_one_out"))
    cut = split.dataset
    whole = {
        name: items.tolist()
        for part in PARTS
        for name, items in zip(
            getattr(dataset, part).ids, getattr(dataset, part).items, strict=True
        )
    }
    long = {name: items for name, items in whole.items() if len(items) >= 3}
    train = {name: items[: -2 if name in long else None] for name, items in whole.items()}
    expected = {f"{name}:train": items for name, items in train.items()}
    assert expected == {k: v.tolist() for k, v in zip(cut.train.ids, cut.train.items, strict=True)}
    for part, less in (("validation", 1), ("test", 0)):
        sessions = getattr(cut, part)
        cases = sessions.prefixes()
        found = {
            sessions.ids[s]: (p.tolist(), int(t))
            for s, p, t in zip(cases.session, cases.prefixes, cases.targets, strict=True)
        }
        assert len(found) == len(cases)
        ends = {name: len(items) - less for name, items in long.items()}
        assert found == {
            f"{name}:{part}": (long[name][: end - 1], long[name][end - 1])
            for name, end in ends.items()
        }
    for cases in CASES:  # one case per user under either protocol
        assert len(TestCases.of(cut, Protocol(cases, mask_history=False))) == len(long)


def test_splits_can_be_combined():
    whole = make_split(random_shop(4), SplitConfig("leave_one_out")).dataset
    split = make_split(whole, SplitConfig("cold_items", fraction=0.3))
    assert not split.dataset.popularity[split.held_out].any()
    # Each user is still asked for the last click alone, with the history that he or she had.
    assert len(split.dataset.test.prefixes()) == len(whole.test)
    assert split.source == whole.fingerprint
    with pytest.raises(DataError, match="leave_one_out"):
        make_split(whole, SplitConfig("temporal"))


def test_a_saved_split_comes_back(tmp_path):
    for kind in ("leave_one_out", "cold_items"):
        split = make_split(random_shop(5), SplitConfig(kind))
        split.dataset.save(tmp_path / kind)
        again = Dataset.load_saved(tmp_path / kind)
        assert TestCases.of(again).targets.tolist() == TestCases.of(split.dataset).targets.tolist()
        assert again.fingerprint == split.dataset.fingerprint


def test_unsuitable_data_is_an_error():
    shop = random_shop(0)
    bare = dataset_of([[0, 1], [1, 2, 3]], [[0, 1]], [[0, 1, 2]], 4)

    def refuse(dataset, words, *config, error=DataError, **values):
        with pytest.raises(error, match=words):
            make_split(dataset, SplitConfig(*config, **values))

    refuse(shop, "choose one of kind 0, kind 1", "new_category", category="x", error=ConfigError)
    refuse(bare, "No item has a category", "new_category", category="x")
    refuse(bare, "No item has a category", "cold_items", draw="category", fraction=0.5)
    refuse(bare, "is less than one item", "cold_items", fraction=0.01, error=ConfigError)
    refuse(random_shop(0, times=False), "clicks have no times", "launch_date", day="1970-01-09")
    refuse(
        shop, "No item is first clicked after", "launch_date", day="2026-01-01", error=ConfigError
    )
    refuse(shop, "choose a later day", "launch_date", day="1969-01-01", error=ConfigError)
    alike = {
        name: replace(getattr(shop, name), starts=getattr(shop, name).starts * 0) for name in PARTS
    }
    refuse(replace(shop, **alike), "start at the same time", "temporal")
    refuse(bare, "too few to split", "temporal", validation_fraction=0.4, test_fraction=0.59)
    whole = dataset_of([[0, 1, 0]], [], [[0, 1]], 2, category=["a", "a"])
    refuse(whole, "leaves no training session", "new_category", category="a")
    refuse(dataset_of([[0, 1, 2]], [], [[0]], 3), "leaves no test session", "given")
    unasked = dataset_of([[0, 1, 2]], [], [[0, 1]], 3, category=["a", "a", "b"])
    refuse(
        unasked, "No target of a test session is one of the 1 items", "new_category", category="b"
    )
