"""What is sent to Hugging Face Spaces, and what is said where that cannot be."""

import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import huggingface_hub
import pytest
from hub_refusals import refused
from huggingface_hub import errors, metadata_load

from app.deploy.card import check_card, front_matter
from app.deploy.spaces import assemble, copy_database, main, summary
from app.shell.results import open_results
from eval.database.store import Store
from tpad.bundle import Bundle
from tpad.bundle.hub import network_errors
from tpad.errors import BundleError, ConfigError, DataError

ROOT = Path(__file__).resolve().parents[2]


class FakeHub:
    """Stands in for `HfApi`: keeps what is asked of it, and raises what it is told to."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.calls: list[tuple[str, dict]] = []
        self.files: list[str] = []

    def __call__(self) -> "FakeHub":
        return self

    def create_repo(self, repo_id: str, **options) -> str:
        self.calls.append(("create_repo", {"repo_id": repo_id, **options}))
        if self.error is not None:
            raise self.error
        return f"https://hub.test/spaces/{repo_id}"

    def upload_folder(self, *, folder_path: Path, **options) -> None:
        self.calls.append(("upload_folder", options))
        self.files = files(folder_path)


def files(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


@pytest.fixture
def hub(monkeypatch):
    made = FakeHub()
    monkeypatch.setattr(huggingface_hub, "HfApi", made)
    return made


@pytest.fixture
def nothing_is_left(monkeypatch, tmp_path):
    """Temporary folders are made in a folder of the test, which is empty again at the end."""
    place = tmp_path / "temporary"
    place.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(place))
    yield
    assert list(place.iterdir()) == []


@pytest.fixture(scope="module")
def space(fake_bundle, tmp_path_factory):
    """A Space that was made of the small bundle, without results."""
    folder = tmp_path_factory.mktemp("deploy") / "space"
    assemble(folder, "me/small-shop", fake_bundle)
    return folder


def test_all_that_the_app_needs_and_nothing_else_is_in_it(space, fake_bundle):
    found = files(space)
    for name in ("app/__main__.py", "app/static/style.css", "eval/database/store.py", "LICENSE"):
        assert name in found
    assert {name.split("/")[0] for name in found} == {
        "README.md",
        "LICENSE",
        "requirements.txt",
        "app",
        "assets",
        "eval",
        "tpad",
    }
    for name in found:
        assert "__pycache__" not in name
        assert not name.endswith((".pyc", ".db"))
        assert not any(part.startswith(".") for part in name.split("/"))
    inside = [n.removeprefix("assets/demo/") for n in found if n.startswith("assets/demo/")]
    assert inside == files(fake_bundle)
    Bundle.load(space / "assets" / "demo", verify="full")


def test_its_readme_names_the_bundle_and_keeps_to_the_rules_of_the_hub(space, fake_bundle):
    head = metadata_load(space / "README.md")
    check_card(head, space)
    assert head["title"] == "small-shop"
    text = (space / "README.md").read_text("utf-8")
    assert f"**{fake_bundle.name}** (60 items" in text
    assert "no results database" in text


def test_the_demo_keeps_the_projects_title_and_brings_its_results(tmp_path):
    assemble(tmp_path / "space", "me/shop")
    head = metadata_load(tmp_path / "space" / "README.md")
    assert head == front_matter(ROOT / "README.md")
    assert "**the demo shop**" in (tmp_path / "space" / "README.md").read_text("utf-8")
    assert open_results(tmp_path / "space" / "assets" / "demo.db", read_only=True).case_sets()
    assert not list((tmp_path / "space" / "assets").glob("*-wal"))


def test_the_checkouts_own_readme_keeps_to_the_rules_of_the_hub():
    check_card(front_matter(ROOT / "README.md"), ROOT)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("title", ""),
        ("sdk", "docker"),
        ("sdk_version", "5.0.0"),
        ("app_file", "app.py"),
        ("app_file", None),
        ("python_version", 3.1),
        ("python_version", "latest"),
        ("colorFrom", "#ff0000"),
        ("colorTo", None),
        ("emoji", "shop"),
        ("short_description", "x" * 61),
    ],
)
def test_a_card_that_the_hub_would_refuse_is_refused(field, value):
    head = front_matter(ROOT / "README.md")
    with pytest.raises(DataError, match=f"The field {field} "):
        check_card({**head, field: value}, ROOT)


@pytest.mark.parametrize("text", ["# no front matter\n", "---\n- a\n---\n", "---\na: [\n---\n"])
def test_front_matter_that_cannot_be_read_is_told(tmp_path, text):
    (tmp_path / "README.md").write_text(text)
    with pytest.raises(DataError, match="front matter"):
        front_matter(tmp_path / "README.md")


def test_a_database_that_is_being_written_is_copied_whole(tmp_path):
    source = tmp_path / "results.db"
    shutil.copy(ROOT / "assets" / "demo.db", source)
    store = Store(source)  # keeps the file open, with a log beside it
    with closing(sqlite3.connect(source)) as writer:
        writer.execute("PRAGMA journal_mode=WAL")
        writer.execute("PRAGMA wal_autocheckpoint=0")
        writer.execute("CREATE TABLE late (x)")
        writer.commit()
        assert (tmp_path / "results.db-wal").stat().st_size > 0
        copy_database(source, tmp_path / "copy" / "demo.db")
    assert [p.name for p in (tmp_path / "copy").iterdir()] == ["demo.db"]
    with closing(sqlite3.connect(f"file:{tmp_path}/copy/demo.db?immutable=1", uri=True)) as copy:
        assert copy.execute("SELECT count(*) FROM late").fetchone() == (0,)
        assert copy.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    assert Store(tmp_path / "copy" / "demo.db", read_only=True).list_runs() == store.list_runs()


def test_what_is_no_results_database_is_not_copied(tmp_path):
    (tmp_path / "x.db").write_bytes(b"no database" * 100)
    with pytest.raises(DataError):
        copy_database(tmp_path / "x.db", tmp_path / "y.db")


def test_a_dry_run_makes_the_folder_and_sends_nothing(fake_bundle, tmp_path, hub, capsys):
    out = tmp_path / "there"
    assert main(["me/shop", "--bundle", str(fake_bundle), "--dry-run", "--out", str(out)]) == 0
    told = capsys.readouterr().out
    assert hub.calls == []
    assert summary(out) in told
    assert "Nothing was uploaded" in told
    assert f"{len(files(out))} files" in told


def test_large_files_are_named(tmp_path, monkeypatch):
    (tmp_path / "assets" / "demo").mkdir(parents=True)
    (tmp_path / "assets" / "demo" / "weights").write_bytes(b"x" * 2000)
    (tmp_path / "LICENSE").write_bytes(b"x")
    monkeypatch.setattr("tpad.bundle.hub.LARGE", 1000)
    told = summary(tmp_path)
    assert "assets/demo/weights has" in told
    assert "LICENSE has" not in told


def test_an_upload_makes_the_space_and_sends_the_same_files(
    fake_bundle, space, hub, capsys, nothing_is_left
):
    assert main(["me/small-shop", "--bundle", str(fake_bundle), "--private"]) == 0
    (first, made), (second, sent) = hub.calls
    assert (first, second) == ("create_repo", "upload_folder")
    assert made["repo_id"] == sent["repo_id"] == "me/small-shop"
    assert made["repo_type"] == sent["repo_type"] == "space"
    assert made["space_sdk"] == "gradio"
    assert made["private"] is True
    assert made["exist_ok"] is True
    assert {v["key"]: v["value"] for v in made["space_variables"]} == {"TPAD_READ_ONLY": "1"}
    assert hub.files == files(space)
    assert "https://hub.test/spaces/me/small-shop" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (errors.LocalTokenNotFoundError("no token"), "hf auth login"),
        (refused(401), "hf auth login"),
        (refused(403), "no write access to me/shop"),
        (refused(500), "refused me/shop: 500 from the hub"),
        *[(one("name not known"), "cannot be reached") for one in network_errors()],
        (errors.OfflineModeIsEnabled("offline mode"), "cannot be reached"),
    ],
)
def test_what_goes_wrong_with_the_hub_is_one_sentence(
    fake_bundle, hub, capsys, nothing_is_left, error, says
):
    hub.error = error
    assert main(["me/shop", "--bundle", str(fake_bundle)]) == 2
    told = capsys.readouterr().err
    assert told.startswith("error: ")
    assert says in told
    assert told.count("\n") == 1


@pytest.mark.parametrize("name", ["shop", "me/shop/more", "me/sh op", "../me", "me/"])
def test_a_name_that_cannot_be_is_refused_before_anything_is_made(name, hub, capsys, tmp_path):
    assert main([name, "--out", str(tmp_path / "out")]) == 2
    assert "OWNER/NAME" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_assembled_leaves_nothing(fake_bundle, tmp_path):
    out = tmp_path / "out" / "space"
    out.parent.mkdir()
    damaged = tmp_path / "damaged"
    shutil.copytree(fake_bundle, damaged)
    next((damaged / "images").iterdir()).write_bytes(b"changed")
    with pytest.raises(BundleError, match="images"):
        assemble(out, "me/shop", damaged)
    with pytest.raises(ConfigError, match="no folder"):
        assemble(out, "me/shop", tmp_path / "none")
    with pytest.raises(ConfigError, match="no database"):
        assemble(out, "me/shop", fake_bundle, tmp_path / "none.db")
    with pytest.raises(ConfigError, match="SQLite"):
        assemble(out, "me/shop", fake_bundle, "postgresql://me@host/results")
    (tmp_path / "x.db").write_bytes(b"no database" * 100)
    with pytest.raises(DataError):
        assemble(out, "me/shop", fake_bundle, tmp_path / "x.db")
    with pytest.raises(ConfigError, match="has no app"):
        assemble(out, "me/shop", fake_bundle, root=tmp_path)
    assert list(out.parent.iterdir()) == []


def test_a_folder_with_something_in_it_is_left_alone(fake_bundle, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(ConfigError, match="not empty"):
        assemble(tmp_path, "me/shop", fake_bundle)
    assert files(tmp_path) == ["mine.txt"]


@pytest.mark.parametrize("start", [["-m", "app"], [str(ROOT / "app" / "__main__.py")]])
def test_deploy_is_a_command_of_the_app(start, tmp_path):
    done = subprocess.run(
        [sys.executable, *start, "deploy", "no-owner"],
        capture_output=True,
        text=True,
        cwd=ROOT if start[0] == "-m" else tmp_path,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr == "error: 'no-owner' is not the name of a Space; write OWNER/NAME.\n"
