"""Times are seconds or dates; what looks like another clock is refused, never taken as 1970."""

import re

import numpy as np
import pandas as pd
import pytest

from tpad.data.clicks import read_clicks
from tpad.data.report import ReportBuilder
from tpad.data.times import to_unix_seconds
from tpad.errors import DataError

ITEMS = pd.Series(list("abc"))
DAY = 1_704_067_200  # 2024-01-01T00:00:00Z


def refusal(values) -> str:
    column = pd.Series(values, index=range(2, len(values) + 2))
    with pytest.raises(DataError) as caught:
        to_unix_seconds(column, "clicks.csv")
    message = str(caught.value)
    assert "Unix seconds, such as 1704067200, or ISO 8601, such as 2024-01-01T12:30:00Z" in message
    return message


@pytest.mark.parametrize("kind", [str, float, int])
@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ([20140513, 20140514], "row 2 has the timestamp 20140513.*without separators .2014-05-13."),
        ([201405131200, 201405131201], "write it as 2014-05-13T12:00:00"),
        ([20140513120001, 20140513120002], "write it as 2014-05-13T12:00:01"),
        ([43831, 43832], "a spreadsheet's number of days .2020-01-01."),
        ([DAY * 1000, DAY * 1000 + 1], "milliseconds; divide the column by 1000"),
        ([DAY * 10**6, DAY * 10**6 + 1], "microseconds; divide the column by 1,000,000"),
        ([DAY * 10**9, DAY * 10**9 + 10**6], "nanoseconds; divide the column by 1,000,000,000"),
    ],
)
def test_other_time_units_are_reported(values, sentence, kind):
    assert re.search(sentence, refusal([kind(v) for v in values]))


def test_a_spreadsheets_time_of_day():
    assert "43831.5, which looks like a spreadsheet's number of days (2020-01-01T12:00:00)" in (
        refusal(["43831.5", "43832.25"])
    )


def test_counters_within_the_range_of_day_numbers_are_accepted():
    counts = pd.Series(np.arange(1, 100_001))
    seconds, bad = to_unix_seconds(counts, "t")
    assert seconds[-1] == 100_000 and not bad.any()
    seconds, bad = to_unix_seconds(counts + 20_100_000, "t")  # some of them would be dates
    assert not bad.any()


def test_zeros_among_times_are_unreadable():
    _, bad = to_unix_seconds(pd.Series(["0", str(DAY), "20140513", "2024-01-01"]), "t")
    assert bad.tolist() == [True, False, True, False]
    seconds, bad = to_unix_seconds(pd.Series(["1972-01-01", "2024-01-01"]), "t")
    assert seconds[0] == 63_072_000 and not bad.any()  # a date is a date


def load(tmp_path, rows, header="session_id,item_id,timestamp"):
    (tmp_path / "clicks.csv").write_text("\n".join([header, *rows]) + "\n")
    report = ReportBuilder()
    return read_clicks(tmp_path / "clicks.csv", ITEMS, report), report.build()


@pytest.mark.parametrize("time", ["0", str(DAY), "2024-01-01"])
def test_equal_times_are_refused(tmp_path, time):
    with pytest.raises(DataError, match=f"same timestamp, {time}, in all 4 rows.*ISO 8601"):
        load(tmp_path, [f"s,a,{time}", f"s,b,{time}", f"q,a,{time}", f"q,b,{time}"])


def test_an_order_is_reported(tmp_path):
    clicks, report = load(tmp_path, ["s,a,1", "s,b,2"])
    assert clicks.time.tolist() == [1, 2]
    finding = report.findings[0]
    assert (finding.reason, finding.count) == ("timestamp before 1973", 2)
    assert "order of the clicks" in finding.action and not finding.is_error


def test_the_final_message_includes_the_findings(tmp_path):
    with pytest.raises(DataError) as caught:
        load(tmp_path, ["s,a,13.5.2014", "s,b,soon", ",a,1"])
    assert str(caught.value) == (
        "clicks.csv has no usable click: 1 × missing session_id, such as clicks.csv row 4; "
        "2 × unreadable timestamp, such as clicks.csv row 2 ('13.5.2014'); correct the table. "
        "Accepted timestamps are Unix seconds, such as 1704067200, or ISO 8601, such as "
        "2024-01-01T12:30:00Z."
    )


def test_duplicate_clicks_are_counted(tmp_path):
    _, report = load(tmp_path, ["s,a,1", "s,b,2", "s,a,1", "q,a,1", "q,b,1"])
    assert report.count("duplicate click (same session, item and second)") == 1


@pytest.mark.parametrize("word", ["maybe", "2", "yes!"])
def test_history_is_true_or_false(tmp_path, word):
    header = "session_id,item_id,timestamp,is_history"
    with pytest.raises(DataError, match=f"row 3 has '{word}' in the column is_history; write true"):
        load(tmp_path, ["s,a,1,true", f"s,b,2,{word}"], header)
    clicks, _ = load(tmp_path, ["s,a,1,1.0", "s,b,2,", "q,a,1,FALSE", "q,c,3,0"], header)
    assert clicks.history.tolist() == [True, False, False, False]
