"""The subcommands `recommend` and `export`."""

import io
import json

import numpy as np
import pandas as pd
import pytest
from fake_bundle import FakeEncoder, picture
from safetensors import safe_open

from tpad import Bundle, NewItem, load
from tpad.__main__ import build_parser
from tpad.errors import ConfigError, DataError


@pytest.fixture
def run(fake_bundle, monkeypatch, capsys):
    """Runs a command line on the bundle; returns what it prints."""
    monkeypatch.setattr(Bundle, "encoder", FakeEncoder())
    parser = build_parser()

    def command(name, *arguments):
        args = parser.parse_args([name, str(fake_bundle), *map(str, arguments)])
        args.run(args)
        return capsys.readouterr().out

    return command


@pytest.fixture
def recommender(fake_bundle):
    return load(fake_bundle, encoder=FakeEncoder())


class TestRecommend:
    def test_json(self, run, recommender):
        out = run("recommend", "--session", "item-0001", "item-0044", "-k", 4, "--format", "json")
        expected = recommender.recommend(["item-0001", "item-0044"], k=4)
        rows = json.loads(out)
        assert [row["item_id"] for row in rows] == expected["item_id"].tolist()
        assert list(rows[0]) == ["rank", "item_id", "score", "is_cold", "title", "category"]

    def test_exploration(self, run):
        never = ["--session", "item-0001", "-k", "60", "--format", "json", "--exploration", "0"]
        found = json.loads(run("recommend", *never))
        assert len(found) > 20 and not any(row["is_cold"] for row in found)

    def test_a_picture_with_a_title(self, run, recommender, tmp_path):
        path = tmp_path / "new.png"
        picture("blue", 2).save(path)
        out = run(
            "recommend",
            "--session",
            "item-0001",
            path,
            "--title",
            "blue case",
            "--model",
            "vision_tfidf",
            "--format",
            "csv",
        )
        session = ["item-0001", NewItem(picture("blue", 2), "blue case")]
        expected = recommender.recommend(session, model="vision_tfidf")
        assert pd.read_csv(io.StringIO(out))["item_id"].tolist() == expected["item_id"].tolist()

    def test_table(self, run):
        lines = run("recommend", "--session", "item-0001", "-k", 59).splitlines()
        assert lines[0].split() == ["rank", "item_id", "score", "title", "category"]
        assert len(lines) == 60
        cold = [line for line in lines if "item-0005" in line]
        assert len(cold) == 1 and " cold " in cold[0]

    def test_seen_items_on_request(self, run):
        assert "item-0001" not in run("recommend", "--session", "item-0001", "-k", 60)
        seen = run("recommend", "--session", "item-0001", "-k", 60, "--include-seen")
        assert "item-0001" in seen

    def test_errors(self, run):
        with pytest.raises(DataError, match=r"neither a picture nor an item 'gone\.webp'"):
            run("recommend", "--session", "gone.webp")
        with pytest.raises(DataError, match="did you mean item-00"):
            run("recommend", "--session", "item-001")
        with pytest.raises(ConfigError, match=r"more titles than pictures.*'case'"):
            run("recommend", "--session", "item-0001", "--title", "case")


class TestExport:
    def test_a_copy(self, run, tmp_path):
        out = run("export", "--out", tmp_path / "copy", "--without-sessions", "--sets", "tpad")
        assert str(tmp_path / "copy") in out
        copy = Bundle.load(tmp_path / "copy", verify="full")
        assert copy.sets == ("tpad",) and len(copy.dataset.train) == 0

    def test_vectors_as_parquet(self, run, tmp_path, fake_bundle):
        run("export", "--embeddings", tmp_path / "v.parquet", "--model", "vision")
        bundle, table = Bundle.load(fake_bundle), pd.read_parquet(tmp_path / "v.parquet")
        assert table["item_id"].tolist() == bundle.dataset.items["item_id"].tolist()
        np.testing.assert_array_equal(np.stack(table["vector"]), bundle.embeddings["vision"])

    def test_vectors_as_safetensors(self, run, tmp_path, fake_bundle):
        run("export", "--embeddings", tmp_path / "v.safetensors")
        bundle = Bundle.load(fake_bundle)
        with safe_open(tmp_path / "v.safetensors", "np") as file:
            np.testing.assert_array_equal(file.get_tensor("x"), bundle.embeddings["tpad"])
            ids = json.loads(file.metadata()["item_ids"])
        assert ids == bundle.dataset.items["item_id"].tolist()

    def test_errors(self, run, tmp_path):
        with pytest.raises(ConfigError, match="Nothing to export"):
            run("export")
        with pytest.raises(ConfigError, match="give --out"):
            run("export", "--embeddings", tmp_path / "v.parquet", "--without-sessions")
        with pytest.raises(ConfigError, match=r"must end in .parquet or .safetensors"):
            run("export", "--embeddings", tmp_path / "v.csv")
        with pytest.raises(ConfigError, match="no embedding set 'x'"):
            run("export", "--embeddings", tmp_path / "v.parquet", "--model", "x")
        assert not list(tmp_path.iterdir())
