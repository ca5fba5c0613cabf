"""Leaks: each way for a held-out item to be learned from is found and named."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fake_bundle import make_fake_dataset
from small_shops import dataset_of

from eval.splits.leaks import assert_no_leaks
from eval.splits.making import SplitConfig, make_split
from tpad import Bundle, DataError, Dataset
from tpad.bundle import export_bundle
from tpad.world.attributes import looks


def bundle_of(dataset: Dataset, folder: Path, **info) -> Bundle:
    """What the check reads of a bundle; nothing is trained."""
    dataset.save(folder)
    facts = {"fingerprint": dataset.fingerprint, "n_items": len(dataset)}
    listed = {path.name: "" for path in folder.iterdir()}
    plain = {"dataset": facts, "sets": ["tpad"], "base": {"path": "base"}, "checksums": listed}
    return Bundle(folder, plain | info)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory) -> Bundle:
    folder = tmp_path_factory.mktemp("leaks")
    return bundle_of(make_fake_dataset(folder / "shop", with_images=False), folder / "bundle")


@pytest.fixture
def split():
    data = dataset_of([[0, 1, 2], [2, 1, 3]] * 9, [[0, 3], [1, 2]], [[4, 3, 2, 1, 0]], 5)
    return make_split(data, SplitConfig("cold_items", 1, fraction=0.25))


def test_a_split_proves_itself(split):
    proven = assert_no_leaks(split)
    assert any("none of 1 held-out items" in line for line in proven)
    few = make_split(split.dataset, SplitConfig("few_shot", fraction=0.5, n=2))
    assert any("has 2 clicks or fewer" in line for line in assert_no_leaks(few))
    assert assert_no_leaks(split.dataset)[0] == "no session is in two parts"


@pytest.mark.parametrize("part, word", [("train", "training"), ("validation", "validation")])
def test_a_click_on_a_held_out_item_is_named(split, part, word):
    row = np.flatnonzero(split.held_out)[0]
    sessions = getattr(split.dataset, part)
    items = [*sessions.items[:-1], np.append(sessions.items[-1], row).astype(np.int32)]
    dirty = replace(split, dataset=replace(split.dataset, **{part: replace(sessions, items=items)}))
    with pytest.raises(DataError, match=f"held-out item 'i{row}' is clicked in {word}"):
        assert_no_leaks(dirty)


def test_a_few_shot_item_with_too_many_clicks_is_named(split):
    few = make_split(split.dataset, SplitConfig("few_shot", fraction=0.5, n=2))
    row = np.flatnonzero(few.few_shot)[0]
    with pytest.raises(DataError, match=f"few-shot item 'i{row}' is clicked more than 2 times"):
        assert_no_leaks(replace(few, dataset=split.dataset))


def test_a_session_in_two_parts_is_named(split):
    twice = replace(split.dataset, test=split.dataset.train.take(np.array([0])))
    with pytest.raises(DataError, match="Session 'train0' is both in train and in test"):
        assert_no_leaks(replace(split, dataset=twice))


def test_a_held_out_item_among_the_candidates_is_named(split):
    row = np.flatnonzero(split.held_out)[0]
    assert_no_leaks(split, candidates=~split.held_out & ~split.dataset.cold)
    with pytest.raises(DataError, match=f"Item 'i{row}' is a candidate"):
        assert_no_leaks(split, candidates=split.held_out)


def test_a_bundle_stands_on_its_own_dataset(bundle):
    proven = assert_no_leaks(bundle.dataset, bundle=bundle)
    assert "the bundle bundle was trained on the split's dataset" in proven
    assert any("is not recorded" in line for line in proven)  # the fake base tells nothing


def test_a_bundle_that_knows_a_held_out_item_is_refused(bundle):
    split = make_split(bundle.dataset, SplitConfig("cold_items", 0, fraction=0.1))
    first = bundle.dataset.items["item_id"][np.flatnonzero(split.held_out)[0]]
    with pytest.raises(DataError, match=f"item '{first}', which the split cold_items") as refusal:
        assert_no_leaks(split, bundle=bundle)
    assert "(and on 4 more such items)" in str(refusal.value)


def test_a_bundle_that_knows_too_many_clicks_of_a_few_shot_item_is_refused(bundle):
    config = SplitConfig("few_shot", 0, fraction=0.1, n=1)
    with pytest.raises(DataError, match="has learned from"):
        assert_no_leaks(make_split(bundle.dataset, config), bundle=bundle)


def test_a_bundle_that_was_trained_on_the_split_passes(tmp_path, bundle):
    split = make_split(bundle.dataset, SplitConfig("cold_items", 0, fraction=0.1))
    trained = bundle_of(split.dataset, tmp_path / "trained")
    assert any("on the split's dataset" in line for line in assert_no_leaks(split, bundle=trained))
    # Of another dataset, but without the items and clicks that are asked for.
    short = make_split(split.dataset, SplitConfig("short_sessions"))
    proven = assert_no_leaks(replace(short, roles=split.roles), bundle=trained)
    assert any("no click to be predicted" in line for line in proven)


def test_an_item_that_only_validates_may_do_so_in_the_bundle_too(tmp_path):
    data = dataset_of([[0, 1, 0]] * 3, [[0, 2]], [[1, 2, 0]], 3)
    trained = bundle_of(data, tmp_path / "bundle")
    assert_no_leaks(make_split(data, SplitConfig("short_sessions")), bundle=trained)


def test_a_bundle_that_has_learned_the_sessions_that_test_is_refused(bundle):
    for config in (SplitConfig("temporal", test_fraction=0.5), SplitConfig("leave_one_out")):
        split = make_split(bundle.dataset, config)
        with pytest.raises(DataError, match="has learned from the click on item 'item-"):
            assert_no_leaks(split, bundle=bundle)


def test_a_real_bundle_is_checked_by_its_folder(fake_bundle, tmp_path):
    whole = Bundle.load(fake_bundle, verify="fast")
    split = make_split(whole.dataset, SplitConfig("cold_items", 0, fraction=0.1))
    with pytest.raises(DataError, match="which the split cold_items"):
        assert_no_leaks(split, bundle=fake_bundle)
    bare = export_bundle(whole, tmp_path / "bare", sessions=False)
    assert_no_leaks(whole.dataset, bundle=bare)  # its fingerprint tells what it was trained on
    with pytest.raises(DataError, match="exported with sessions"):
        assert_no_leaks(split, bundle=bare)


def test_another_shops_bundle_has_nothing_to_hide(tmp_path, bundle):
    other = make_fake_dataset(tmp_path / "other", with_images=False)
    names = [f"other-{name}" for name in other.items["item_id"]]
    foreign = replace(other, items=other.items.assign(item_id=names))
    split = make_split(foreign, SplitConfig("cold_items", fraction=0.2))
    assert any("no held-out item" in line for line in assert_no_leaks(split, bundle=bundle))


@pytest.mark.parametrize("look, is_leak", [("reserved", False), ("drawn", True)])
def test_looks_of_the_pretraining_are_found(tmp_path, bundle, look, is_leak):
    dataset = bundle.dataset
    chosen = looks(reserved=look == "reserved")[: len(dataset)]
    facts = {f"attr_{name}": [getattr(x, name) for x in chosen] for name in vars(chosen[0])}
    drawn = replace(dataset, items=dataset.items.assign(**facts))
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "pretraining.json").write_text("{}")
    pretrained = bundle_of(drawn, tmp_path)
    if is_leak:
        first = dataset.items["item_id"][np.flatnonzero(dataset.cold)[0]]
        with pytest.raises(DataError, match=f"Item '{first}' has a look"):
            assert_no_leaks(drawn, bundle=pretrained)
    else:
        assert any(
            "no held-out item has a look" in x for x in assert_no_leaks(drawn, bundle=pretrained)
        )
