"""Imported ranked lists: three forms of table, one result."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from small_shops import dataset_of

from eval.models.ranked_lists import cases_frame, read_ranked_lists
from eval.protocol import Protocol, TestCases
from tpad import ConfigError, DataError


@pytest.fixture(scope="module")
def shop():
    return dataset_of([[0, 1]], [], [[0, 1, 2], [3, 4]], 6)


@pytest.fixture(scope="module")
def cases(shop):
    return TestCases.of(shop)


LISTS = [["i5", "i1"], ["i0", "i5", "i2"], ["i0", "i1", "i2", "i5"]]
"""For 0 -> 1, (0, 1) -> 2 and 3 -> 4: found at 2, at 2 (i0 is history), and not at all."""


def plain(path):
    pd.DataFrame({"case": [2, 0, 1], "items": [",".join(LISTS[n]) for n in (2, 0, 1)]}).to_csv(
        path, index=False
    )


def session_rec(path):
    pd.DataFrame(
        {
            "SessionId": ["test0", "test0", "test1"],
            "Position": [0, 1, 0],
            "Recommendations": [",".join(items) for items in LISTS],
            "Scores": "",
        }
    ).to_csv(path, index=False, sep=";")


def long_form(path, by="score"):
    names, places = ["test0", "test0", "test1"], [0, 1, 0]
    rows = [
        (names[n], places[n], item, place + 1 if by == "rank" else -place)
        for n in range(3)
        for place, item in enumerate(LISTS[n])
    ]
    frame = pd.DataFrame(rows, columns=["session_id", "position", "item_id", by])
    frame.sample(frac=1.0, random_state=0).to_csv(path, index=False, sep="\t")


@pytest.mark.parametrize("write", [plain, session_rec, long_form, lambda p: long_form(p, "rank")])
def test_every_form_gives_the_same_ranks(shop, cases, tmp_path, write):
    write(tmp_path / "peer.csv")
    peer = read_ranked_lists(tmp_path / "peer.csv", cases, shop)
    assert peer.ranks.tolist() == [2, 2, np.inf]
    assert (peer.unanswered, peer.longest) == (0, 4)


def test_history_counts_where_it_is_a_candidate(shop, tmp_path):
    plain(tmp_path / "peer.csv")
    peer = read_ranked_lists(
        tmp_path / "peer.csv", TestCases.of(shop, Protocol(mask_history=False)), shop
    )
    assert peer.ranks.tolist() == [2, 3, np.inf]


def test_a_list_without_position_predicts_the_last_click(shop, cases, tmp_path):
    frame = pd.DataFrame(
        {"session_id": ["test0", "test1"], "item_id": ["i2", "i4"], "score": [1.0, 2.0]}
    )
    frame.to_csv(tmp_path / "peer.csv", index=False)
    with pytest.raises(DataError, match="no list for 1 of 3 cases"):
        read_ranked_lists(tmp_path / "peer.csv", cases, shop)
    peer = read_ranked_lists(tmp_path / "peer.csv", cases, shop, allow_missing=True)
    assert peer.ranks.tolist() == [np.inf, 1, 1] and peer.unanswered == 1


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_ids_are_read_as_in_every_other_file(shop, tmp_path, suffix):
    numbered = replace(shop, items=shop.items.assign(item_id=[str(n) for n in range(6)]))
    frame = pd.DataFrame(
        {
            "session_id": ["test0 ", "test0", "test1"],
            "position": [0.0, 1.0, 0.0],
            "item_id": [1.0, 2.0, 4.0],
            "score": 1.0,
        }
    )
    path = tmp_path / f"peer.{suffix}"
    frame.to_parquet(path) if suffix == "parquet" else frame.to_csv(path, index=False)
    asked = TestCases.of(numbered)
    assert read_ranked_lists(path, asked, numbered).ranks.tolist() == [1, 1, 1]
    lists = pd.DataFrame({"case": [0.0, 1.0, 2.0], "items": ["1.0, 5.0", "2.0", " 4.0 "]})
    lists.to_parquet(path) if suffix == "parquet" else lists.to_csv(path, index=False)
    assert read_ranked_lists(path, asked, numbered).ranks.tolist() == [1, 1, 1]


def test_exported_cases_can_be_ranked_and_imported(shop, cases, tmp_path):
    asked = cases_frame(cases, shop)
    assert asked.prefix.tolist() == ["i0", "i0,i1", "i3"]
    assert "target" not in asked
    answer = cases_frame(cases, shop, targets=True)
    answer["items"] = answer["target"]
    answer.to_parquet(tmp_path / "peer.parquet")
    assert read_ranked_lists(tmp_path / "peer.parquet", cases, shop).ranks.tolist() == [1, 1, 1]
    with pytest.raises(ConfigError, match="such as 'i0'"):
        cases_frame(cases, shop, separator="i")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("case,items\n0,i9\n", "row 2 ranks the unknown item 'i9'"),
        ('case,items\n0,i1 \n1,"i1,i1"\n', "row 3 ranks an item twice"),
        ("case,items\n0,i1\n0,i1\n", "row 3 is a second list for case 0"),
        ("case,items\n7,i1\n", "row 2 names case '7'; cases go from 0 to 2"),
        ("case,items\nx,i1\n", "names case 'x'"),
        ("SessionId;Position;Recommendations\nnobody;0;i1\n", "session 'nobody', position 0"),
        (
            "SessionId;Position;Recommendations\ntest0;5;i1\n",
            "position 5, which is not a test click",
        ),
        ("session_id,item_id,score\ntest0,i1,high\n", "row 2 has a score that is not a number"),
        ("user,item\n1,2\n", "has the columns user, item"),
        ("", "cannot be read"),
    ],
)
def test_an_invalid_table_is_an_error(shop, cases, tmp_path, text, named):
    (tmp_path / "peer.csv").write_text(text)
    with pytest.raises(DataError, match=named):
        read_ranked_lists(tmp_path / "peer.csv", cases, shop)
    with pytest.raises(DataError, match="does not exist"):
        read_ranked_lists(tmp_path / "nothing.csv", cases, shop)
