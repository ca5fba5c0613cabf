"""`python -m tpad encode` on the command line."""

import pandas as pd
from fake_bundle import FakeEncoder

from tpad import Bundle
from tpad.__main__ import main
from tpad.encoding import read_shards


def test_it_encodes_tells_the_faults_and_goes_on(fake_bundle, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(Bundle, "encoder", FakeEncoder())
    table, out = tmp_path / "more.csv", tmp_path / "out"
    table.write_text("item_id,title\na,red case\nb,\nc,blue cap\n")
    command = ["encode", str(fake_bundle), "--items", str(table), "--out", str(out)]
    assert main([*command, "--shard-size", "2"]) == 0
    told = capsys.readouterr().out
    assert "Encoded 2 items of 3 rows: 2 shards." in told
    assert "1  item without picture and text: the item is skipped" in told
    assert read_shards(out).load()[0] == ["a", "c"]
    (out / "shard-00001.parquet").unlink()
    assert main([*command, "--shard-size", "2"]) == 0
    assert "2 shards, 1 of them by an earlier run." in capsys.readouterr().out
    assert main([*command, "--shard-size", "3"]) == 2
    assert "--shard-size 2, not 3" in capsys.readouterr().err
    assert pd.read_parquet(out / "shard-00001.parquet")["item_id"].tolist() == ["c"]


def test_tables_that_cannot_be_read_leave_nothing(fake_bundle, tmp_path, capsys):
    for name, text, words in (
        ("a.csv", "title\nred\n", "no column 'item_id'"),
        ("b.csv", "item_id,price\na,1\n", "neither a column 'title' nor 'image'"),
        ("c.csv", "item_id,title\n,red\n", "no row with an item_id"),
        ("d.csv", "item_id,title\n", "no usable row"),
        ("e.csv", "", "is empty"),
        ("f.parquet", "item_id,title\na,b\n", "not a Parquet file"),
    ):
        (tmp_path / name).write_text(text)
        command = ["encode", str(fake_bundle), "--items", str(tmp_path / name)]
        assert main([*command, "--out", str(tmp_path / "out")]) == 2
        told = capsys.readouterr().err.strip()
        assert words in told and name in told and "\n" not in told
        assert not (tmp_path / "out").exists()
