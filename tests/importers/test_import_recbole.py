"""RecBole's atomic files: typed headers, roles, and columns that are kept."""

import gzip

import pytest
from import_tables_read import sessions_of

INTER = "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
ITEM = (
    "item_id:token\ttitle:token_seq\tcategories:token_seq\tprice:float\tbrand:token\timage:token\n"
)


@pytest.fixture
def write(tmp_path):
    """Writes a file."""

    def make(name: str, text: str):
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return make


def test_interactions_and_items(imported, write):
    shop = imported(
        "recbole",
        write("x.inter", INTER + "u\ta\t5\t0\nu\tb\t1\t1799\nu\tc\t1\t3600\nu\ta\t1\t3700\n"),
        write(
            "x.item", ITEM + "a\tred phone\tPhones\t9.5\tAcme\thttp://x/a.jpg\nb\tcase\t\t-1\t\t\n"
        ),
        write("x.user", "user_id:token\tage:float\nu\t5\n"),
    )
    assert sessions_of(shop["clicks"]) == {"u#1": ["a", "b"], "u#2": ["c", "a"]}
    items = shop["item_table"].set_index("item_id")
    assert items.columns.tolist() == [
        "title",
        "description",
        "category",
        "price",
        "brand",
        "image_url",
    ]
    assert items.loc["a"].tolist() == ["red phone", "", "Phones", 9.5, "Acme", "http://x/a.jpg"]
    assert items["price"].isna()["b"] and items.loc["c", "title"] == ""
    assert "price is not a number of at least 0" in shop["items"]["changed"]
    assert any("x.user" in note for note in shop["notes"])


def test_sessions_of_the_file_and_of_users(imported, write, tmp_path):
    path = write(
        "x.inter",
        "session_id:token\tuser_id:token\titem_id:token\ttimestamp:float\n"
        "s1\tu\ta\t1\ns1\tu\tb\t2\ns2\tu\tc\t3\ns2\tu\td\t4\n",
    )
    assert sessions_of(imported("recbole", path)["clicks"]) == {"s1": ["a", "b"], "s2": ["c", "d"]}
    by_user = imported("recbole", path, "--sessions", "user", out=tmp_path / "by-user")
    assert sessions_of(by_user["clicks"]) == {"u": ["a", "b", "c", "d"]}


def test_columns_of_other_names_and_gzip(imported, tmp_path):
    text = "who:token\twhat:token\twhen:float\nu\ta\t1000\nu\tb\t2000\n"
    (tmp_path / "x.inter.gz").write_bytes(gzip.compress(text.encode()))
    shop = imported(
        "recbole",
        tmp_path / "x.inter.gz",
        "--column",
        "user_id=who",
        "--column",
        "item_id=what",
        "--column",
        "timestamp=when",
        "--time-unit",
        "ms",
    )
    assert shop["clicks"]["timestamp"].tolist() == [1, 2]


def test_item_files_of_different_columns(imported, write):
    shop = imported(
        "recbole",
        write("x.inter", INTER + "u\ta\t5\t0\nu\tb\t1\t9\n"),
        write("a.item", "item_id:token\tsize:float\ttitle:token_seq\na\t3\tphone\n"),
        write("b.item", "colour:token\titem_id:token\nred\tb\n"),
    )
    items = shop["item_table"].set_index("item_id")
    assert items.loc["a", ["title", "size", "colour"]].tolist() == ["phone", "3", ""]
    assert items.loc["b", ["title", "size", "colour"]].tolist() == ["", "", "red"]


@pytest.mark.parametrize(
    ("name", "text", "named"),
    [
        ("x.csv", INTER, "must end in .inter"),
        ("x.inter", INTER.replace("\t", ","), "separate the fields by tabs"),
        ("x.inter", "user_id\titem_id\n", "name:type"),
        ("x.inter", "user_id:token\titem_id:text\n", "item_id:text"),
        ("x.inter", "a:token\ta:token\n", "two columns 'a'"),
        ("x.inter", "user_id:token\titem_id:token\nu\ta\n", "timestamp"),
        ("x.inter", "item_id:token\ttimestamp:float\na\t1\n", "no column for user_id"),
        ("x.inter", "user_id:token\titem_id_list:token_seq\titem_id:token\n", "list of items"),
        ("x.item", ITEM, "None of the files contains interactions"),
        (
            "x.inter",
            INTER.replace("item_id:token", "item_id:token_seq"),
            "lists in the column 'item_id'",
        ),
        ("x.inter", INTER + "u\t[1, 2]\t5\t1\n", "item id is a list"),
        ("x.inter", INTER + "u\ta\t1\n", "too many or too few fields (such as x.inter line 2)"),
    ],
)
def test_files_that_are_refused(refused, write, name, text, named):
    assert named in refused("recbole", write(name, text))


def test_html_prices_and_pictures_of_items(imported, write):
    shop = imported(
        "recbole",
        write("x.inter", INTER + "u\ta\t5\t0\nu\tb\t1\t9\n"),
        write(
            "x.item",
            ITEM + "a\t<b>Red</b> &amp; blue\t<i></i>\t$1,299.50\tA&amp;B\t"
            "http://x/a.jpg http://x/b.jpg\nb\tcase\tCases\t12,99 €\t\t['http://x/c.jpg']\n",
        ),
    )
    items = shop["item_table"].set_index("item_id")
    assert items.loc["a"].tolist() == ["Red & blue", "", "", 1299.5, "A&B", "http://x/a.jpg"]
    assert items.loc["b", ["price", "image_url"]].tolist() == [12.99, "http://x/c.jpg"]
    assert shop["items"]["changed"]["title holds HTML"]["examples"] == ["x.item line 2"]


MMREC = "userID\titemID\trating\ttimestamp\tx_label\n"
ROWS = "".join(
    f"{user}\t{item}\t5.0\t{at}\t{label}\n"
    for user in (0, 1)
    for at, (item, label) in enumerate([(0, 0), (1, 0), (2, 1), (3, 1), (4, 2), (5, 2)])
)


def test_mmrec_has_the_split_of_each_row(imported, write):
    shop = imported("recbole", write("baby.inter", MMREC + ROWS + "1\t2\t5.0\t9\t3\n"))
    clicks = shop["clicks"]
    assert clicks.groupby("split")["item_id"].agg(set).to_dict() == {
        "train": {"0", "1"},
        "validation": {"2", "3"},
        "test": {"4", "5"},
    }
    assert (clicks.groupby("session_id")["split"].nunique() == 1).all() and shop["sessions"] == 6
    wrong = shop["interactions"]["dropped"]["x_label is not 0, 1 or 2"]
    assert wrong["examples"] == ["baby.inter line 14 ('3')"]
    assert any("x_label" in note for note in shop["notes"])


def test_mmrec_with_settings_that_do_not_fit(refused, write):
    labelled, other = write("a.inter", MMREC + ROWS), write("b.inter", INTER + "u\ta\t5\t0\n")
    assert "leave out --splits" in refused("recbole", labelled, "--splits", "train")
    assert "files of one kind" in refused("recbole", labelled, other)
    told = refused("recbole", write("c.inter", MMREC.replace("timestamp", "when") + ROWS))
    assert "no column for timestamp" in told


def test_a_column_that_no_file_has(refused, write):
    path = write("x.inter", INTER + "u\ta\t5\t0\nu\tb\t1\t9\n")
    assert "no file has a column 'nome'" in refused("recbole", path, "--column", "title=nome")
