"""Clicks become sessions without any getting lost or out of order."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings, strategies as st

from tpad.data.clicks import read_clicks
from tpad.data.report import ReportBuilder
from tpad.data.sessions import Sessions
from tpad.errors import DataError

ITEMS = pd.Series(list("abcdef"))


def load(tmp_path, table, strict=False, **options):
    path = tmp_path / "clicks.csv"
    if isinstance(table, pd.DataFrame):
        table.to_csv(path, index=False)
    else:
        path.write_text(table, encoding="utf-8")
    builder = ReportBuilder(strict)
    return read_clicks(path, ITEMS, builder, **options), builder.build()


def as_words(sessions: Sessions) -> dict[str, str]:
    return {
        name: "".join(ITEMS.iloc[items])
        for name, items in zip(sessions.ids, sessions.items, strict=True)
    }


def test_session_ids(tmp_path):
    clicks, report = load(
        tmp_path, "session_id,item_id,timestamp\n01,a,50\n2,b,10\n01,c,51\n2,a,11\n2,a,12\n"
    )
    sessions = clicks.sessions()
    assert as_words(sessions) == {"2": "baa", "01": "ac"}
    assert sessions.starts.tolist() == [10, 50] and not report.errors
    assert [times.tolist() for times in sessions.times] == [[10, 11, 12], [50, 51]]
    assert sessions.items[0].dtype == np.int32 and sessions.ids.dtype == object


def test_a_gap_ends_a_users_session(tmp_path):
    table = "user_id,item_id,timestamp\nu,a,0\nu,b,1799\nu,c,3599\nu,d,3600\nv,e,5\nv,f,6\n"
    clicks, _ = load(tmp_path, table)
    assert as_words(clicks.sessions()) == {"u#1": "ab", "v#1": "ef", "u#2": "cd"}
    clicks, _ = load(tmp_path, table, session_gap_minutes=31)
    assert as_words(clicks.sessions()) == {"u#1": "abcd", "v#1": "ef"}


def test_a_users_session_ends_where_the_split_changes(tmp_path):
    clicks, _ = load(
        tmp_path,
        "user_id,item_id,timestamp,split\nu,a,0,train\nu,b,1,train\nu,c,2,test\nu,d,3,test\n",
    )
    assert as_words(clicks.sessions()) == {"u#1": "ab", "u#2": "cd"}
    assert clicks.split.tolist() == [0, 2]


def test_clicks_out_of_order_are_sorted_and_counted(tmp_path):
    table = "session_id,item_id,timestamp\ns,a,30\ns,b,10\ns,c,20\ns,d,20\n"
    clicks, report = load(tmp_path, table)
    assert as_words(clicks.sessions()) == {"s": "bcda"}  # equal times keep the table's order
    assert report.count("click out of order") == 1
    assert report.findings[0].examples == ("clicks.csv row 3",)
    with pytest.raises(DataError, match=r"clicks\.csv row 3: click out of order"):
        load(tmp_path, table, strict=True)


def test_invalid_rows_are_skipped_and_counted(tmp_path):
    clicks, report = load(
        tmp_path,
        "session_id,item_id,timestamp\ns,a,1\n,b,2\ns,,3\ns,zz,4\ns,b,soon\ns,c,6\nq,d,7\n",
    )
    assert as_words(clicks.sessions()) == {"s": "ac"}
    expected = {
        "missing session_id": "clicks.csv row 3",
        "missing item_id in a click": "clicks.csv row 4",
        "unknown item in a click": "clicks.csv row 5 ('zz')",
        "unreadable timestamp": "clicks.csv row 6 ('soon')",
        "single-click session": "clicks.csv session 'q'",
    }
    errors = [f for f in report.findings if f.is_error]
    assert {f.reason: f.examples[0] for f in errors} == expected
    assert all(f.count == 1 for f in errors)


@pytest.mark.parametrize("row", [",b,2", "s,,3", "s,zz,4", "s,b,soon", "q,d,7"])
def test_strict_raises(tmp_path, row):
    with pytest.raises(DataError, match="without strict mode"):
        load(tmp_path, f"session_id,item_id,timestamp\ns,a,1\ns,b,2\n{row}\n", strict=True)


def test_single_clicks_of_a_user_are_not_an_error(tmp_path):
    table = "user_id,item_id,timestamp\nu,a,0\nu,b,1\nv,c,0\n"
    clicks, report = load(tmp_path, table, strict=True)
    assert as_words(clicks.sessions()) == {"u#1": "ab"}
    assert report.count("single-click session") == 1 and report.errors == 0


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        ("item_id,timestamp\na,1\n", "no column 'session_id'"),
        ("session_id,timestamp\na,1\n", "no column 'item_id'"),
        ("session_id,item_id\na,1\n", "no column 'timestamp'"),
        ("session_id,item_id,timestamp\ns,x,1\ns,y,2\n", "no click on a known item .it has 'x'"),
        ("session_id,item_id,timestamp\ns,a,x\n", "no usable click: 1 × unreadable timestamp"),
        ("session_id,item_id,timestamp,split\ns,a,1,dev\n", "row 2 has the split 'dev'"),
        (
            "session_id,item_id,timestamp,split\ns,a,1,train\ns,b,2,test\n",
            "row 3 puts session 's' into a second split",
        ),
    ],
)
def test_fatal(tmp_path, table, sentence):
    with pytest.raises(DataError, match=rf"clicks\.csv.*{sentence}"):
        load(tmp_path, table)


def test_repeats_are_kept_unless_merged(tmp_path):
    table = "session_id,item_id,timestamp\ns,a,1\ns,a,2\ns,b,3\ns,a,4\nq,a,1\nq,a,2\n"
    clicks, _ = load(tmp_path, table)
    assert as_words(clicks.sessions()) == {"s": "aaba", "q": "aa"}
    clicks, report = load(tmp_path, table, merge_repeats=True)
    assert as_words(clicks.sessions()) == {"s": "aba"}
    assert report.count("repeated click in a row") == 2


clicks_of_users = st.lists(
    st.tuples(st.sampled_from("uvw"), st.sampled_from("abcdef"), st.integers(0, 50_000)),
    min_size=2,
    max_size=60,
)


@settings(max_examples=60)
@given(clicks_of_users, st.integers(1, 200))
def test_sessionising_keeps_every_click_in_order(tmp_path_factory, rows, gap):
    frame = pd.DataFrame(rows, columns=["user_id", "item_id", "timestamp"])
    assume(frame["timestamp"].nunique() > 1)
    frame["timestamp"] += 1_700_000_000
    clicks, _ = load(tmp_path_factory.mktemp("s"), frame, session_gap_minutes=gap, min_session=1)
    sessions = clicks.sessions()
    assert len(sessions.clicks) == len(rows) and len(set(sessions.ids)) == len(sessions)
    assert (np.diff(sessions.starts) >= 0).all()
    for user, of_user in frame.groupby("user_id"):
        # In plain Python: walk the user's clicks in time order and cut at the gaps.
        expected: list[list[str]] = []
        last = None
        for _, item, time in of_user.sort_values("timestamp", kind="stable").itertuples(
            index=False
        ):
            if last is None or time - last >= gap * 60:
                expected.append([])
            expected[-1].append(item)
            last = time
        words = as_words(sessions)
        found = [words[f"{user}#{n + 1}"] for n in range(len(expected))]
        assert found == ["".join(session) for session in expected]


session_lists = st.lists(st.lists(st.integers(0, 5), min_size=1, max_size=9), max_size=8)


@given(session_lists, st.none() | st.integers(1, 4))
def test_every_prefix_predicts_its_next_item(lists, max_length):
    sessions = Sessions(
        np.array([str(i) for i in range(len(lists))], dtype=object),
        [np.array(items, np.int32) for items in lists],
        np.arange(len(lists), dtype=np.int64),
    )
    cases = sessions.prefixes(max_length)
    expected = [
        (s, items[:end][-max_length:] if max_length else items[:end], items[end])
        for s, items in enumerate(lists)
        for end in range(1, len(items))
    ]
    found = list(zip(cases.session, cases.prefixes, cases.targets, strict=True))
    assert [(s, p.tolist(), t) for s, p, t in found] == expected
    assert cases.targets.dtype == np.int32 and cases.session.dtype == np.int64
    assert len(cases) == len(expected)


def test_take():
    sessions = Sessions(
        np.array(["a", "b", "c"], object),
        [np.array([i], np.int32) for i in range(3)],
        np.array([5, 6, 7]),
    )
    assert sessions.take(np.array([2, 0])).ids.tolist() == ["c", "a"]
    assert sessions.take(np.array([True, False, True])).starts.tolist() == [5, 7]


def sessions_of(lists, history=None, times=True):
    starts = np.arange(len(lists), dtype=np.int64) * 100
    return Sessions(
        np.array([str(i) for i in range(len(lists))], dtype=object),
        [np.array(items, np.int32) for items in lists],
        starts,
        [start + np.arange(len(items)) for start, items in zip(starts, lists, strict=True)]
        if times
        else None,
        None if history is None else np.array(history, dtype=np.int64),
    )


def test_history_is_input_and_never_a_target():
    sessions = sessions_of([[0, 1, 2, 3], [4, 5], [3, 2]], history=[3, 2, 0])
    cases = sessions.prefixes()
    found = [(p.tolist(), t) for p, t in zip(cases.prefixes, cases.targets, strict=True)]
    assert found == [([0, 1, 2], 3), ([3], 2)] and cases.session.tolist() == [0, 2]
    assert sessions.prefixes(2).prefixes[0].tolist() == [1, 2]
    assert [w.tolist() for w in sessions.windows(5)] == [[2, 3], [3, 2]]
    assert sessions.take(np.array([2, 0])).history.tolist() == [0, 3]


@given(session_lists, st.booleans(), st.data())
def test_removed_clicks_do_not_change_the_order_of_others(lists, times, data):
    history = [data.draw(st.integers(0, len(items))) for items in lists]
    sessions = sessions_of(lists, history, times)
    count = len(sessions.clicks)
    keep = np.array(data.draw(st.lists(st.booleans(), min_size=count, max_size=count)), dtype=bool)
    left, at = sessions.where(keep), 0
    expected = {}
    for number, items in enumerate(lists):
        mask = keep[at : at + len(items)]
        at += len(items)
        if mask.any():
            kept = np.array(items)[mask].tolist()
            expected[str(number)] = (kept, int(mask[: history[number]].sum()))
    found = zip(left.ids, left.items, left.history, strict=True)
    assert {name: (items.tolist(), known) for name, items, known in found} == expected
    assert (np.diff(left.starts) >= 0).all() and (left.times is None) != times
    if times:
        assert [each[0] for each in left.times] == left.starts.tolist()


def test_history_is_read(tmp_path):
    table = "session_id,item_id,timestamp,is_history\n1,a,1,True\n1,b,2,true\n1,c,3,False\n2,a,9,\n2,b,10,0\n"
    clicks, _ = load(tmp_path, table)
    assert clicks.sessions().history.tolist() == [2, 0]
    assert [p.tolist() for p in clicks.sessions().prefixes().prefixes] == [[0, 1], [0]]
    with pytest.raises(DataError, match="row 6 is history, but a click before it"):
        load(tmp_path, table.replace("2,b,10,0", "2,b,10,1"))
