"""Result files of session-rec, as written by its `Saver`, with a list for every click."""

import pandas as pd
import pytest
from small_shops import dataset_of

from eval.models.ranked_lists import NOT_FOUND, cases_frame, read_ranked_lists
from eval.protocol import Protocol, TestCases
from tpad import DataError
from tpad.io.csv_files import csv_text

WALKS = [[0, 1, 0, 2], [3, 4], [2, 5, 5]]
"""Test sessions; the third click of the first, and the last of the third, repeat an item."""


@pytest.fixture(scope="module")
def shop():
    return dataset_of([[0, 1]], [], WALKS, 6)


@pytest.fixture(scope="module")
def cases(shop):
    return TestCases.of(shop)


def saver(path, walks=WALKS, without=(), last=False, ids="i{}", **changes):
    """What `Saver` and `write_results_csv` write: a perfect list for every click but the first."""
    rows = []
    for n, walk in enumerate(walks):
        for position, item in enumerate(walk[1:]):
            if (last and position < len(walk) - 2) or (n, position) in without:
                continue
            others = [other for other in (5, 4, 3) if other != item]
            items = ",".join(ids.format(i) for i in [item, *others])
            rows.append((f"test{n}", None if last else position, items, "0.9,0.3,0.2,0.1"))
    frame = pd.DataFrame(rows, columns=["SessionId", "Position", "Recommendations", "Scores"])
    frame.assign(**changes).to_csv(path, sep=";", index=False)


def test_a_file_is_imported_unchanged_and_repeated_clicks_are_counted(shop, cases, tmp_path):
    saver(tmp_path / "test_single_x.csv.Saver@50--.csv")
    peer = read_ranked_lists(tmp_path / "test_single_x.csv.Saver@50--.csv", cases, shop)
    assert peer.ranks.tolist() == [1, 1, 1, 1]
    assert (peer.left_out, peer.unanswered, cases.left_out) == (2, 0, 2)


def test_where_history_is_kept_every_click_counts(shop, tmp_path):
    saver(tmp_path / "peer.csv")
    peer = read_ranked_lists(
        tmp_path / "peer.csv", TestCases.of(shop, Protocol(mask_history=False)), shop
    )
    assert peer.ranks.tolist() == [1] * 6 and peer.left_out == 0


def test_lists_without_position_predict_last_clicks_only(shop, tmp_path):
    """The third session's last click is no case; its list must not stand for the click before."""
    saver(tmp_path / "peer.csv", last=True)
    peer = read_ranked_lists(tmp_path / "peer.csv", TestCases.of(shop, Protocol("last_item")), shop)
    assert peer.ranks.tolist() == [1, 1] and peer.left_out == 1
    peer = read_ranked_lists(tmp_path / "peer.csv", TestCases.of(shop), shop, allow_missing=True)
    assert peer.ranks.tolist() == [NOT_FOUND, 1, 1, NOT_FOUND] and peer.left_out == 1


def test_a_file_of_every_click_can_be_used_for_last_clicks(shop, tmp_path):
    saver(tmp_path / "peer.csv")
    peer = read_ranked_lists(tmp_path / "peer.csv", TestCases.of(shop, Protocol("last_item")), shop)
    assert peer.ranks.tolist() == [1, 1] and peer.left_out == 4


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (
            {"without": {(0, 2)}},
            "2 positions of session 'test0', which has 3. session-rec removes",
        ),
        ({"without": {(1, 0)}}, "no list for 1 of 4 cases"),
        (
            {"Position": 7},
            "row 2 has a list for session 'test0', position 7, which is not a test click",
        ),
        ({"SessionId": "nobody"}, "session 'nobody', position 0, which is not a test click"),
        ({"ids": "x{}"}, "ranks the unknown item 'x1'"),
    ],
)
def test_an_invalid_file_is_an_error(shop, cases, tmp_path, changes, says):
    saver(tmp_path / "peer.csv", **changes)
    with pytest.raises(DataError, match=says):
        read_ranked_lists(tmp_path / "peer.csv", cases, shop)


def test_a_table_of_metrics_is_recognised(shop, cases, tmp_path):
    (tmp_path / "peer.csv").write_text("Metrics;HitRate@20: ;MRR@20: ;\nsknn;0.5;0.2;\n")
    with pytest.raises(DataError, match="table of metrics; pass the file of lists"):
        read_ranked_lists(tmp_path / "peer.csv", cases, shop)


def test_ids_and_positions_written_as_fractions_are_the_same(tmp_path):
    shop = dataset_of([[0, 1]], [], WALKS, 6)
    shop.items["item_id"] = [str(n) for n in range(6)]
    saver(tmp_path / "peer.csv", ids="{}.0", Position=[0.0, 1.0, 2.0, 0.0, 0.0, 1.0])
    peer = read_ranked_lists(tmp_path / "peer.csv", TestCases.of(shop), shop)
    assert peer.ranks.tolist() == [1, 1, 1, 1]


def test_ids_that_start_a_formula_come_back(tmp_path):
    """The exported cases mark them for spreadsheets; an imported list may keep the marks."""
    shop = dataset_of([[0, 1]], [], WALKS, 6)
    shop.items["item_id"] = ["=0", "+x", "@2", "-3", "4", "'=5"]
    shop.test.ids[:] = ["=a", "-b", "@c"]
    cases = TestCases.of(shop)
    asked = tmp_path / "cases.csv"
    asked.write_text(csv_text(cases_frame(cases, shop, targets=True)), "utf-8")
    frame = pd.read_csv(asked, dtype=str)
    assert frame["session_id"].tolist()[0] == "'=a" and frame["target"].tolist()[0] == "'+x"
    frame["SessionId"], frame["Position"] = frame["session_id"], frame["position"]
    frame["Recommendations"] = frame["target"]
    frame.to_csv(tmp_path / "peer.csv", index=False)
    assert read_ranked_lists(tmp_path / "peer.csv", cases, shop).ranks.tolist() == [1, 1, 1, 1]
    plain = frame.assign(items=[shop.items["item_id"][t] for t in cases.targets])
    plain[["case", "items"]].to_csv(tmp_path / "plain.csv", index=False)
    assert read_ranked_lists(tmp_path / "plain.csv", cases, shop).ranks.tolist() == [1, 1, 1, 1]
