"""TF-IDF of the text, and price and category."""

import json

import numpy as np
import pandas as pd
import pytest

from tpad.model.plain_features import (
    FIELD_SCALE as SCALE,
    FieldFeatures,
    TextFeatures,
    field_table,
    text_table,
)

TEXTS = [
    "Kipo phone case Nova 5",
    "Aeris case for Nova 7",
    "charger 20 W Nova 5",
    "cap size L",
    "cap size S, unisex",
    "jersey M",
    "shorts XL Peakline",
    "strawberry jam 500 g",
    "мёд 250 г",
]


@pytest.fixture(scope="module")
def text() -> TextFeatures:
    return TextFeatures.fit(TEXTS, 6, seed=0)


def similarity(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def test_like_texts_are_near(text):
    x = text(["case Nova 5", "Nova 5 case Kipo", "jersey M"])
    assert x.shape == (3, 6) and x.dtype == np.float32
    assert similarity(x[0], x[1]) > similarity(x[0], x[2]) + 0.3


def test_letter_groups_survive_typing_errors(text):
    x = text(["strawberry jam", "starwberry jma", "charger Nova"])
    assert similarity(x[0], x[1]) > similarity(x[0], x[2])


def test_one_letter_words_count():
    text = TextFeatures.fit(TEXTS, 8, seed=0)
    x = text(["cap size L", "cap size S"])
    assert not np.allclose(x[0], x[1], atol=1e-3)


def test_it_comes_back_bit_by_bit_from_json_and_arrays(text):
    arrays = {name: array.copy() for name, array in text.arrays().items()}
    assert arrays["components"].dtype == np.float16
    again = TextFeatures.restore(json.loads(json.dumps(text.as_json())), arrays)
    new = [*TEXTS, "", "something never seen", "NOVA 5 мёд 手机"]
    assert np.array_equal(text(new), again(new))
    assert np.abs(text(new)).max() > 0.1


def test_components_of_single_precision_are_read_too(text):
    arrays = {name: array.astype(np.float32) for name, array in text.arrays().items()}
    assert np.array_equal(TextFeatures.restore(text.as_json(), arrays)(TEXTS), text(TEXTS))


def test_accents_and_case_make_no_difference(text):
    x = text(["Crème brûlée NOVA 5", "creme brulee nova 5"])
    assert np.array_equal(x[0], x[1])


def test_in_a_larger_shop_a_term_of_one_text_says_nothing():
    texts = [f"nova {number % 5} case" for number in range(60)]
    text = TextFeatures.fit([*texts, "zyzzyx"])
    x = text(["nova 3 case", "nova 3 case zyzzyx", "zyzzyx"])
    assert "zyzzyx" not in text.as_json()["words"]
    assert np.array_equal(x[0], x[1]) and not x[2].any()


def test_texts_without_any_common_term_work():
    texts = [chr(0x4E00 + number) for number in range(60)]
    x = TextFeatures.fit(texts)(texts)
    assert len(x) == 60 and np.isfinite(x).all()


@pytest.mark.parametrize("texts", [[""], ["", "", ""], ["!!!", "?"], ["one"], ["a b"] * 2])
def test_shops_with_next_to_no_text_work(texts):
    text = TextFeatures.fit(texts, 128, seed=0)
    x = text(["", "one", "else"])
    assert x.shape[0] == 3 and x.shape[1] >= 1 and np.isfinite(x).all()


def test_the_same_texts_give_the_same_features(text):
    assert np.array_equal(TextFeatures.fit(TEXTS, 6, seed=0)(TEXTS), text(TEXTS))


@pytest.fixture(scope="module")
def fields() -> FieldFeatures:
    categories = ["phones"] * 4 + ["jam"] * 3 + ["", "rare"]
    prices = np.array([100, 200, 400, 800, 2, 3, 4, 50, np.nan], float)
    return FieldFeatures.fit(categories, prices)


def test_prices_are_judged_in_the_shop_and_in_the_category(fields):
    dear_jam, cheap_phone = fields(["jam", "phones"], np.array([4.0, 100.0]))
    assert dear_jam[0] < 0 < dear_jam[1]  # cheap in the shop, dear for jam
    assert cheap_phone[0] > 0 > cheap_phone[1]
    assert fields.size == 3 + 3 == len(dear_jam)


def test_missing_prices_and_unknown_categories_are_no_nan(fields):
    x = fields(["jam", "hats", "", "phones"], np.array([np.nan, np.nan, 3.0, np.inf]))
    assert np.isfinite(x).all()
    assert x[0, 2] == SCALE and (x[0, :2] == 0).all() and x[0, 3:].sum() == SCALE
    assert x[1, 2] == SCALE and x[1, 3:].sum() == 0.0
    assert x[2, 2] == 0.0 and x[2, 3:].sum() == 0.0 and x[2, 0] == x[2, 1] != 0
    assert x[3, 2] == SCALE


def test_a_category_without_prices_is_judged_as_the_shop(fields):
    x = fields(["rare", "hats"], np.array([50.0, 50.0]))
    assert x[0, 1] == pytest.approx(x[0, 0]) and x[0, 0] == x[1, 0]


def test_extreme_prices_stay_in_bounds(fields):
    x = fields(["jam"] * 3, np.array([1e12, 0.0, -5.0]))
    assert np.abs(x).max() <= 5.0 * SCALE


@pytest.mark.parametrize("prices", [[np.nan, np.nan], [5.0, 5.0]])
def test_shops_without_or_with_one_price_work(prices):
    fields = FieldFeatures.fit(["a", "b"], np.array(prices))
    assert np.isfinite(fields(["a", "c"], np.array([5.0, np.nan]))).all()


def test_only_the_most_frequent_categories_are_kept():
    fields = FieldFeatures.fit(["a"] * 3 + ["b"] * 2 + ["c", ""], np.ones(7), most=2)
    assert fields.categories == ["a", "b"]
    assert fields(["c"], np.ones(1))[0, 3:].sum() == 0


def test_tables_are_read_whole_and_learnt_on_warm_rows():
    items = pd.DataFrame(
        {
            "title": ["red phone", "blue phone", "red case", "zebra"],
            "description": ["for Nova 5", "", "", ""],
            "category": ["phones", "phones", "cases", "zoo"],
            "price": [100.0, 200.0, np.nan, 1e6],
        }
    )
    warm = np.array([True, True, True, False])
    text, fields = text_table(items, warm), field_table(items, warm)
    assert len(text) == len(fields) == 4
    assert not np.allclose(text[0], text_table(items.assign(description=""), warm)[0])
    other = items.assign(title=[*items.title[:3], "zoo"], price=[100.0, 200.0, np.nan, 1.0])
    assert np.array_equal(text_table(other, warm)[:3], text[:3])
    assert np.array_equal(field_table(other, warm)[:3], fields[:3])
    assert fields[3, 3:].sum() == 0, "a category of cold items only is not known"
