"""`python -m tpad images` from the command line; no test uses a network."""

from tpad.__main__ import main


def test_unreadable_rows_are_reported_in_sentences(tmp_path, capsys):
    items = tmp_path / "items.csv"
    items.write_text("item_id,title,image\na,red,\nb,green\nc,blue,,x\n", "utf-8")
    assert main(["images", "--items", str(items), "--out", str(tmp_path / "out")]) == 0
    out = capsys.readouterr().out
    assert "2  row with too many or too few fields: the row is skipped (for instance" in out
    assert "items.csv row 3: 2 fields" in out
    assert "Finding(" not in out and "reason=" not in out
