"""The API as callers meet it: a launched app, and `gradio_client`."""

import base64
import http.client
import io
import json
import math
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from app_server import launched
from fake_bundle import SETS, WIDTHS, FakeEncoder, picture
from fake_results import fill
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image

from app.api import endpoints as api
from app.shell.results import open_results
from app.shell.session import MAX_ELEMENTS
from app.ui import build_app
from eval.database.store import Store
from tpad.bundle import Bundle
from tpad.recommender import Recommender

ROOT = Path(__file__).resolve().parents[2]
PAIR = ["item-0001", "item-0003"]


@pytest.fixture(scope="module")
def recommender(fake_bundle):
    return Recommender(Bundle.load(fake_bundle, encoder=FakeEncoder()))


@pytest.fixture(scope="module")
def page(recommender, tmp_path_factory):
    """The app with results of the bundle's own dataset."""
    database = tmp_path_factory.mktemp("results") / "demo.db"
    with Store(database) as store:
        fill(store, recommender.bundle.dataset, "demo")
    page = build_app(recommender, open_results(database, read_only=True))
    page.address = launched(page)
    yield page
    page.close()


@pytest.fixture(scope="module")
def client(page):
    return Client(page.address, verbose=False)


@pytest.fixture(scope="module")
def ask(client):
    """Calls an endpoint by its name."""
    return lambda name, *args, **options: client.predict(*args, api_name=f"/{name}", **options)


@pytest.fixture
def file(tmp_path):
    picture("red", 5, 200).save(tmp_path / "mine.png")
    return tmp_path / "mine.png"


def data_url(image: Image.Image, kind: str = "PNG") -> str:
    out = io.BytesIO()
    image.save(out, kind)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(out.getvalue()).decode()}"


def test_nothing_but_the_endpoints_can_be_called_and_each_is_documented(client):
    found = client.view_api(return_format="dict")
    assert set(found["named_endpoints"]) == {f"/{name}" for name in api.ENDPOINTS}
    assert found["unnamed_endpoints"] == {}
    for endpoint in found["named_endpoints"].values():
        assert len(endpoint["description"]) > 20
        for parameter in endpoint["parameters"]:
            assert parameter["python_type"]["type"] not in ("", "Any")
    first = found["named_endpoints"]["/recommend"]["parameters"]
    names = ["session", "model", "k", "exclude_seen", "exploration"]
    assert [p["parameter_name"] for p in first] == names
    assert [p["parameter_default"] for p in first[1:]] == ["tpad", 20, True, None]


def test_recommendations_are_those_of_the_recommender(ask, recommender):
    found = ask("recommend", PAIR, "vision", 5)
    expected = recommender.recommend(PAIR, 5, True, "vision")
    assert [row["item_id"] for row in found] == expected["item_id"].tolist()
    assert [row["rank"] for row in found] == [1, 2, 3, 4, 5]
    assert found[0]["score"] == pytest.approx(float(expected["score"].iat[0]), rel=1e-5)
    assert found[0]["is_cold"] is bool(expected["is_cold"].iat[0])
    assert len(ask("recommend", PAIR)) == 20
    titles = recommender.items.set_index("item_id")["title"]
    assert all(row["title"] == titles[row["item_id"]] for row in found)


def test_items_of_the_session_may_be_ranked_too(ask):
    names = {row["item_id"] for row in ask("recommend", PAIR, k=60, exclude_seen=False)}
    assert len(names) == 60
    assert not set(PAIR) & {row["item_id"] for row in ask("recommend", PAIR, k=60)}


def test_exploration_sets_the_share_of_new_items(ask, recommender):
    def cold(share) -> list[bool]:
        return [row["is_cold"] for row in ask("recommend", PAIR, k=30, exploration=share)]

    assert not any(cold(0))
    assert sum(cold(1)) > sum(cold(0.05))
    expected = recommender.recommend(PAIR, 30, exploration=0.3)["is_cold"].tolist()
    assert cold(0.3) == expected
    assert cold(None) == [row["is_cold"] for row in ask("recommend", PAIR, k=30)]
    lists = ask("compare", PAIR, k=30, exploration=0)
    assert not any(row["is_cold"] for found in lists.values() for row in found)


def test_a_picture_is_the_same_as_a_file_a_data_url_and_base64(ask, file):
    url = data_url(Image.open(file))
    ways = [handle_file(file), {"image": handle_file(file)}, url, {"image": url.split(",")[1]}]
    lists = [ask("recommend", [PAIR[0], way], k=4) for way in ways]
    assert all(found == lists[0] for found in lists)
    assert lists[0] != ask("recommend", [PAIR[0]], k=4)


def test_a_new_item_is_read_with_all_that_is_said_of_it(ask, recommender, file):
    from tpad.items import NewItem

    said = {"title": "red case", "description": "of felt", "category": "Phones", "price": 3}
    vectors = ask("encode", [said, PAIR[0], {**said, "image": handle_file(file)}], model="tpad")
    assert [len(vector) for vector in vectors] == [WIDTHS["tpad"]] * 3
    expected = recommender.encode([NewItem(**said), PAIR[0]])
    assert vectors[0] == pytest.approx(expected[0].tolist(), abs=1e-4)
    assert vectors[1] == pytest.approx(expected[1].tolist(), abs=1e-4)
    assert vectors[2] != vectors[0]


def test_comparison_is_one_list_a_model(ask):
    found = ask("compare", PAIR, ["vision", "tpad", "vision"], 3)
    assert list(found) == ["vision", "tpad"]
    assert found["vision"] == ask("recommend", PAIR, "vision", 3)
    assert list(ask("compare", PAIR, k=1)) == list(SETS)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"session": []}, "at least one"),
        ({"session": "item-0001"}, "at least one"),
        ({"session": ["nothing"]}, "Item 1: There is no item 'nothing'"),
        ({"session": [*PAIR, 3]}, "Item 3: An item is an id"),
        ({"session": [{}]}, "needs an image"),
        ({"session": [{"colour": "red"}]}, "no field 'colour'"),
        ({"session": [{"title": 3}]}, "title must be text"),
        ({"session": [{"title": "x" * 300}]}, "more than 200 characters"),
        ({"session": [{"title": "x", "price": "dear"}]}, "price must be a number"),
        ({"session": [{"title": "x", "price": -1}]}, "0 or more"),
        ({"session": [{"image": ["a"]}]}, "image must be a file"),
        ({"session": [{"image": "/etc/passwd"}]}, "not"),
        ({"session": [{"image": "öö"}]}, "not base64"),
        ({"session": [{"vectors": [1, 2]}]}, "must be a mapping"),
        ({"session": [{"vectors": {"clip": ["x"]}}]}, "finite numbers"),
        ({"session": ["data:image/png;base64,PHN2Zz4="]}, "not a picture"),
        ({"session": PAIR * MAX_ELEMENTS}, f"at most {MAX_ELEMENTS}"),
        ({"session": PAIR, "k": 0}, "k must be"),
        ({"session": PAIR, "k": 1e9}, "k must be"),
        ({"session": PAIR, "k": 2.5}, "whole number"),
        ({"session": PAIR, "k": "many"}, "whole number"),
        ({"session": PAIR, "exploration": 1.5}, "share from 0 to 1"),
        ({"session": PAIR, "exploration": True}, "share from 0 to 1"),
        ({"session": PAIR, "exploration": "much"}, "share from 0 to 1"),
        ({"session": PAIR, "model": "best"}, "choose from tpad"),
        ({"session": PAIR, "model": ["tpad"]}, "no model"),
        ({"session": PAIR, "exclude_seen": "maybe"}, "exclude_seen must be true or false"),
        ({"session": [{"title": "x", "price": 10**400}]}, "finite number"),
    ],
)
def test_bad_input_gets_a_sentence(ask, arguments, says):
    with pytest.raises(AppError, match=says) as caught:
        ask("recommend", **arguments)
    assert "Traceback" not in str(caught.value)
    assert str(caught.value).count("\n") == 0


def test_bad_input_of_the_other_endpoints_gets_a_sentence(ask):
    for name, arguments, says in (
        ("compare", {"session": PAIR, "models": []}, "at least one"),
        ("compare", {"session": PAIR, "models": "tpad"}, "list of names"),
        ("compare", {"session": PAIR, "models": ["no"]}, "no model 'no'"),
        ("encode", {"items": ["item-0001"] * (api.MAX_ENCODED + 1)}, "at most"),
        ("leaderboard", {"dataset": "no such shop"}, "choose from demo"),
        ("leaderboard", {"slice": "lukewarm"}, "all, warm, cold"),
        ("leaderboard", {"metric": "F1"}, "P@5"),
        ("leaderboard", {"metric": 3}, "metric must be text"),
        ("leaderboard", {"dataset": ["demo"]}, "dataset must be text"),
        ("compare", {"session": 3}, "at least one"),
        ("compare", {"session": PAIR, "exclude_seen": 1}, "exclude_seen must be true or false"),
        ("encode", {"items": {"a": 1}}, "at least one"),
        ("encode", {"items": PAIR, "model": 3}, "no model '3'"),
    ):
        with pytest.raises(AppError, match=says):
            ask(name, **arguments)


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("recommend", [["nothing"]], "Item 1: There is no item 'nothing'"),
        ("recommend", [], "at least one item id"),
        ("recommend", [[{"title": "x\ud83d"}]], "Item 1: title holds half of a character"),
        ("recommend", [["\ud83d"]], "There is no item"),
        ("recommend", [PAIR, "\ud83d"], "There is no model"),
        ("recommend", [[{"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}}]], "Upload"),
        ("compare", [PAIR, ["\ud83d"]], "There is no model"),
        ("encode", [[{"vectors": {"\ud83d": ["x"]}}]], "finite numbers"),
        ("encode", [[{"\ud83d": "x"}]], "no field"),
        ("leaderboard", ["\ud83d"], "dataset holds half of a character"),
    ],
)
def test_plain_http_is_told_the_same_sentences(page, name, data, says):
    with pytest.raises(urllib.error.HTTPError) as caught:
        post(page.address, {"data": data}, name)
    assert says in json.load(caught.value)["error"]


def test_plain_http_may_leave_out_what_has_a_default(page):
    assert len(post(page.address, {"data": [PAIR]})["data"][0]) == 20
    assert post(page.address, {"data": []}, "leaderboard")["data"][0]


def test_a_picture_that_is_too_large_gets_a_sentence(ask, monkeypatch):
    monkeypatch.setattr("app.api.inputs.MAX_PICTURE", 1000)
    noise = Image.effect_noise((200, 200), 90)
    with pytest.raises(AppError, match="larger than"):
        ask("recommend", [data_url(noise)])


def test_a_file_of_the_server_cannot_be_read(page):
    """A caller that says of some path that it was uploaded is refused by Gradio."""
    secret = {"path": str(ROOT / "assets/demo/images"), "meta": {"_type": "gradio.FileData"}}
    with pytest.raises(urllib.error.HTTPError) as caught:
        post(page.address, {"data": [[secret]]})
    assert caught.value.code in (400, 403, 500)
    assert str(ROOT) not in caught.value.read().decode()


def test_an_address_is_not_fetched(page, ask):
    sent = {"path": f"{page.address}/theme.css", "meta": {"_type": "gradio.FileData"}}
    with pytest.raises(AppError, match="Send the picture itself, not its address"):
        ask("recommend", [sent], "tpad", 3)


def test_a_call_that_is_too_large_is_refused_before_it_is_read(page):
    host, port = page.address.removeprefix("http://").strip("/").split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=60)
    connection.putrequest("POST", "/gradio_api/call/recommend")
    connection.putheader("Content-Type", "application/json")
    connection.putheader("Content-Length", str(api.MAX_REQUEST + 1))
    connection.endheaders()
    assert connection.getresponse().status == 413  # although no byte of it was sent
    connection.close()


def test_pictures_that_were_sent_are_not_kept(page):
    url = data_url(picture("blue", 3))
    sent = {"data": [[PAIR[0], url], "tpad", 3, True], "session_hash": "forgetful"}
    assert len(post(page.address, sent)["data"][0]) == 3
    kept = page.server_app.state_holder.session_data["forgetful"].config_values
    assert url not in json.dumps(kept, default=str)


def test_an_error_that_nobody_foresaw_is_no_traceback(ask, recommender, monkeypatch):
    def fail(*_):
        raise RuntimeError("secret path")

    monkeypatch.setattr(recommender, "recommend", fail)
    with pytest.raises(AppError, match="server's log") as caught:
        ask("recommend", PAIR)
    assert "secret" not in str(caught.value)


def test_the_leaderboard_is_that_of_the_database(ask, page):
    rows = ask("leaderboard", slice="cold", metric="MRR@20")
    results = page.shop.results
    choice = results.case_sets()[0]
    evaluation = results.evaluation(choice.key)
    assert [row["model"] for row in rows] == list(evaluation.by_name)
    frame = evaluation.frame("cold").query("metric == 'MRR' and k == 20").set_index("model")
    for row in rows:
        assert (row["dataset"], row["slice"], row["k"]) == (choice.dataset, "cold", 20)
        assert row["mean"] == pytest.approx(frame.loc[row["model"], "mean"])
        assert row["low"] <= row["mean"] <= row["high"]
        assert row["deviation"] is None or math.isfinite(row["deviation"])
    assert {row["k"] for row in ask("leaderboard", dataset="demo", metric="P")} == {5, 10, 20}
    assert len(ask("leaderboard")) == 9 * len(rows)


def test_without_a_database_the_leaderboard_says_so(recommender):
    page = build_app(recommender)
    try:
        client = Client(launched(page), verbose=False)
        with pytest.raises(AppError, match="no results database"):
            client.predict(api_name="/leaderboard")
    finally:
        page.close()


def test_mcp_without_its_packages_says_how_to_get_them(monkeypatch, capsys):
    from app import __main__ as command
    from tpad.cli import shared

    monkeypatch.setattr(shared, "find_spec", lambda name: None if name == "mcp" else name)
    assert command.main(["--mcp"]) == 2
    assert 'pip install "tpad[mcp]"' in capsys.readouterr().err


def test_the_endpoints_are_tools_of_an_mcp_server(recommender):
    pytest.importorskip("mcp", reason='MCP is not installed (pip install -e ".[mcp]")')
    page = build_app(recommender)
    url = launched(page, mcp_server=True)
    try:
        with urllib.request.urlopen(f"{url}/gradio_api/mcp/schema") as answer:
            tools = {tool["name"]: tool for tool in json.load(answer)}
    finally:
        page.close()
    assert {name.removeprefix("tpad_") for name in tools} == set(api.ENDPOINTS)
    for tool in tools.values():
        assert len(tool["description"]) > 20
        for parameter in tool["inputSchema"]["properties"].values():
            assert parameter["description"]


def post(address: str, body: dict, name: str = "recommend") -> dict:
    """An answer of an endpoint over plain HTTP."""
    request = urllib.request.Request(
        f"{address}/gradio_api/run/{name}",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)
