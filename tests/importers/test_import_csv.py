"""CSV for the format huggingface, and files that are not what their names say."""

import gzip
import pickle

import pytest
from import_tables_read import sessions_of

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"


@pytest.fixture
def write(tmp_path):
    """Writes a file."""

    def make(name: str, text: str | bytes):
        data = text if isinstance(text, bytes) else text.encode()
        (tmp_path / name).write_bytes(data)
        return tmp_path / name

    return make


@pytest.mark.parametrize("mark", [",", ";", "\t"])
@pytest.mark.parametrize("packed", [False, True])
def test_separators(imported, write, mark, packed):
    clicks = "sessionId,itemId,time\n1,a,10\n1,b,20\n\n2,b,30\n2,a,31\n".replace(",", mark)
    rows = [
        ["itemId", "title", "price", "note", ""],
        ["a", f'"Red{mark} ""big""\nphone"', "9.50", "x", ""],
    ]
    items = "\r\n".join(mark.join(row) for row in rows) + "\r\n"
    data = b"\xef\xbb\xbf" + clicks.encode()
    shop = imported(
        "huggingface",
        write("c.csv", gzip.compress(data) if packed else data),
        write("i.csv", items),
    )
    assert sessions_of(shop["clicks"]) == {"1": ["a", "b"], "2": ["b", "a"]}
    item = shop["item_table"].set_index("item_id").loc["a"]
    assert item.tolist() == [f'Red{mark} "big"\nphone', "", "", 9.5, "x"]


def test_diginetica(imported, write):
    """Semicolons, names of its own, and prices with a decimal comma."""
    clicks = (
        "sessionId;userId;itemId;timeframe;eventdate\n1;NA;a;100;2016-05-09\n1;NA;b;50;2016-05-09\n"
    )
    shop = imported(
        "huggingface",
        write("views.csv", clicks),
        write("p.csv", "itemId;price\na;12,99\nb;1.299,00\n"),
        "--column",
        "timestamp=eventdate",
    )
    assert sessions_of(shop["clicks"]) == {"1": ["a", "b"]}
    assert shop["item_table"]["price"].tolist() == [12.99, 1299.0]


def test_rows_of_a_csv_that_do_not_fit_are_counted(imported, write):
    shop = imported(
        "huggingface", write("c.csv", "session_id,item_id,time\n1,a,1\n1,b\n\n1,,2\n1,c,x\n1,b,3\n")
    )
    dropped = shop["interactions"]["dropped"]
    assert dropped["row with too many or too few fields"]["examples"] == ["c.csv row 3"]
    assert dropped["missing item"]["examples"] == ["c.csv row 4"]
    assert dropped["unreadable timestamp"]["examples"] == ["c.csv row 5 ('x')"]


def test_a_folder_of_csv_files(imported, write, tmp_path):
    (tmp_path / "folder").mkdir()
    write("folder/a.csv", "session_id,item_id,time\n1,a,1\n1,b,2\n")
    assert imported("huggingface", tmp_path / "folder")["sessions"] == 1


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("session_id,item_id,item_id,time\n1,a,a,1\n", "two columns 'item_id'"),
        ('session_id,item_id,time\n1,"a,1\n', "close each quote"),
        ("session_id,item_id,time\n1,\xe4,1\n".encode("latin-1"), "iconv"),
        (b"\0\1\2", "not a Parquet, Arrow or CSV file"),
        ("\n\n", "only blank lines"),
        ("name,text\n1,2\n", "no column for item_id"),
        ("PK\x03\x04", "zip archive"),
    ],
)
def test_csv_that_is_refused(refused, write, text, named):
    told = refused("huggingface", write("c.csv", text))
    assert named in told and "c.csv" in told


@pytest.mark.parametrize(
    ("form", "name"),
    [
        ("amazon-2018", "r.json"),
        ("amazon-2014", "r.json.gz"),
        ("mmsbr", "train.txt"),
        ("recbole", "x.inter"),
        ("session-rec", "x.txt"),
        ("yoochoose", "x.dat"),
        ("movielens", "ratings.csv"),
        ("huggingface", "x.parquet"),
        ("huggingface", "x.csv"),
    ],
)
def test_a_pointer_of_git_lfs(refused, write, form, name):
    told = refused(form, write(name, POINTER))
    assert f"{name} is a Git LFS pointer" in told and "git lfs pull" in told


@pytest.mark.parametrize(
    "text", ["SessionId\tItemId\tTime\n1\ta\t1\n", "1,2,3\n", "case one\n", "{}\n", "\n1 2 3\n"]
)
def test_text_that_is_named_as_a_pickle(refused, write, text):
    told = refused("mmsbr", write("train.txt", text))
    assert "train.txt is plain text, not a pickle" in told and "format" in told


@pytest.mark.parametrize("header", ["sessionId;userId;itemId", "SessionId,ItemId,Time"])
def test_other_separators_name_the_format_that_reads_them(refused, write, header):
    told = refused("session-rec", write("log.csv", header + "\n1;2;3\n"))
    assert "not separated by tabs" in told and "huggingface" in told


@pytest.mark.parametrize("form", ["huggingface", "session-rec", "recbole"])
def test_a_pickle_that_is_given_as_a_table_is_named(refused, tmp_path, form):
    path = tmp_path / "x.inter"
    path.write_bytes(pickle.dumps([[1, 2], [3]], 4))
    assert "x.inter is a pickle" in refused(form, path)


def test_json_that_is_given_as_a_table_is_named(refused, write):
    assert "x.jsonl is JSON" in refused("huggingface", write("x.jsonl", '{"item_id": 1}\n'))
