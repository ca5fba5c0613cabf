"""Settings of a split: checked when given, and written as a name that can be read."""

import pytest

from eval.splits.split import DEFAULTS, SplitConfig
from tpad import ConfigError


def test_every_kind_has_a_name_that_can_be_read():
    given = {"category": "Home, garden=x", "day": "2026-03-01"}
    for kind, params in DEFAULTS.items():
        values = {key: given[key] for key in params if key in given}
        config = SplitConfig(kind, 3, **values)
        assert SplitConfig.parse(config.name).params == config.params
        assert SplitConfig.parse(config.name).name == config.name
    assert SplitConfig.parse("cold_items") == SplitConfig("cold_items")
    assert SplitConfig("few_shot", n=2).name == "few_shot:draw=random,fraction=0.15,n=2,seed=0"


@pytest.mark.parametrize(
    "kind, values, words",
    [
        ("lukewarm", {}, "choose one of given, cold_items"),
        ("cold_items", {"fraction": 0.0}, "fraction must be above 0"),
        ("cold_items", {"fraction": 1.0}, "fraction must be below 1, not 1.0"),
        ("cold_items", {"fraction": float("nan")}, "fraction must be below 1, not nan"),
        (
            "cold_items",
            {"draw": "worst"},
            "draw must be 'random', 'popularity' or 'category', not 'worst'",
        ),
        ("cold_items", {"n": 3}, "no parameter n; it has draw, fraction"),
        ("given", {"day": "2026-01-01"}, "no parameter day; it has none"),
        ("few_shot", {"n": -1}, "n must be at least 0"),
        ("short_sessions", {"length": 0}, "length must be at least 1"),
        ("launch_date", {}, "YYYY-MM-DD"),
        ("launch_date", {"day": "soon"}, "YYYY-MM-DD, not 'soon'"),
        ("temporal", {"test_fraction": 0.95}, "less than 1"),
        ("temporal", {"test_fraction": -0.1}, "at least 0"),
        ("cold_items", {"seed": -1}, "seed must be at least 0, not -1"),
    ],
)
def test_invalid_settings_are_errors(kind, values, words):
    with pytest.raises(ConfigError, match=words):
        SplitConfig(kind, **values)


@pytest.mark.parametrize(
    "text, words",
    [
        ("few_shot:n=many", "n of the split few_shot must be a number, not 'many'"),
        ("few_shot:m=3", "'m=3' is not a parameter"),
        ("few_shot:n", "'n' is not a parameter"),
        ("few:n=3", "no split 'few'"),
    ],
)
def test_invalid_split_names_are_errors(text, words):
    with pytest.raises(ConfigError, match=words):
        SplitConfig.parse(text)
