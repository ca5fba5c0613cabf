"""`export --push`: the copy that is sent is checked, whole, and opens by its id and revision."""

import shutil
from pathlib import Path

import httpx
import huggingface_hub
import pytest
from fake_bundle import FakeEncoder
from hub_refusals import refused
from huggingface_hub import errors, metadata_load

import tpad
from app.__main__ import build_parser as app_parser
from tpad.__main__ import main
from tpad.bundle import Bundle
from tpad.bundle.files import list_files


class FakeHub:
    """Stands in for the hub: keeps the files of each branch, and raises what it is told to."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.error, self.calls = folder, None, []

    def __call__(self) -> "FakeHub":
        return self

    def create_repo(self, name, *, repo_type, private, exist_ok):
        self.calls.append(("create_repo", name, repo_type, private, exist_ok))
        if self.error is not None:
            raise self.error
        return f"https://hub.test/{name}"

    def create_branch(self, name, *, branch, exist_ok):
        self.calls.append(("create_branch", name, branch))

    def list_repo_files(self, name, *, revision):
        return [".gitattributes", *list_files(self.folder / (revision or "main"))]

    def upload_folder(self, *, repo_id, folder_path, repo_type, revision, delete_patterns, **_):
        self.calls.append(("upload_folder", repo_id, repo_type, revision))
        assert delete_patterns == ["*"]
        place = self.folder / (revision or "main")
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(folder_path, place)

    def snapshot_download(self, hub_id, *, revision, local_dir):
        shutil.copytree(self.folder / (revision or "main"), local_dir, dirs_exist_ok=True)


@pytest.fixture
def hub(monkeypatch, tmp_path):
    made = FakeHub(tmp_path / "hub")
    monkeypatch.setattr(huggingface_hub, "HfApi", made)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", made.snapshot_download)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HOME", str(tmp_path / "home"))
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    yield made
    assert list((tmp_path / "temporary").iterdir()) == []


def push(bundle, *options) -> int:
    return main(["export", str(bundle), "--push", "me/shop", *map(str, options)])


def test_what_is_pushed_opens_by_its_id(fake_bundle, hub, capsys):
    assert push(fake_bundle, "--private") == 0
    assert hub.calls == [
        ("create_repo", "me/shop", "model", True, True),
        ("upload_folder", "me/shop", "model", None),
    ]
    assert "https://hub.test/me/shop" in capsys.readouterr().out
    assert list_files(hub.folder / "main") == list_files(fake_bundle)
    opened = tpad.load("me/shop", encoder=FakeEncoder(), verify="full")
    here = tpad.load(fake_bundle, encoder=FakeEncoder())
    session = ["item-0001", "item-0044"]
    assert opened.recommend(session).equals(here.recommend(session))


def test_the_model_card_says_where_the_bundle_is(fake_bundle, hub):
    push(fake_bundle)
    card = hub.folder / "main" / "README.md"
    assert 'tpad.load("me/shop")' in card.read_text("utf-8")
    assert metadata_load(card)["library_name"] == "tpad"
    assert "PATH_OR_HUB_ID" in (fake_bundle / "README.md").read_text("utf-8")


def test_a_bundle_without_a_card_gets_one(fake_bundle, hub, tmp_path):
    copy = shutil.copytree(fake_bundle, tmp_path / "copy")
    (copy / "README.md").unlink()
    push(copy)
    assert 'tpad.load("me/shop")' in (hub.folder / "main" / "README.md").read_text("utf-8")


def test_a_branch_is_opened_by_its_revision(fake_bundle, hub, capsys):
    assert push(fake_bundle, "--branch", "v1", "--sets", "tpad", "--without-sessions") == 0
    assert ("create_branch", "me/shop", "v1") in hub.calls
    bundle = Bundle.load("me/shop", "v1")
    assert bundle.sets == ("tpad",) and len(bundle.dataset.train) == 0
    capsys.readouterr()
    assert main(["recommend", "me/shop", "--revision", "v1", "--session", "item-0001"]) == 0
    assert "item-" in capsys.readouterr().out
    options = app_parser().parse_args(["--bundle", "me/shop", "--revision", "v1"])
    assert tpad.load(options.bundle, options.revision).bundle.path == bundle.path


def test_a_dry_run_lists_files_and_sizes_and_sends_nothing(fake_bundle, hub, capsys):
    hub.error = AssertionError("nothing may be asked of the hub")
    assert push(fake_bundle, "--dry-run") == 0
    told = capsys.readouterr().out
    size = (fake_bundle / "items.parquet").stat().st_size
    assert f"1 files {size / 1e6:>9.2f} MB  items.parquet" in told
    assert f"{len(list_files(fake_bundle / 'images'))} files" in told
    assert f"{len(list_files(fake_bundle))} files" in told and "Nothing was uploaded" in told
    assert hub.calls == []


def test_a_damaged_bundle_is_not_sent(fake_bundle, hub, capsys, tmp_path):
    copy = shutil.copytree(fake_bundle, tmp_path / "copy")
    path = copy / "images" / "item-0003.webp"
    path.write_bytes(bytes(path.stat().st_size))  # only the full check finds it
    assert push(copy) == 2
    assert "item-0003.webp was changed" in capsys.readouterr().err
    assert hub.calls == []


def test_another_repository_is_left_alone(fake_bundle, hub, capsys):
    (hub.folder / "main").mkdir(parents=True)
    (hub.folder / "main" / "model.safetensors").write_bytes(b"precious")
    assert push(fake_bundle) == 2
    assert "me/shop contains model.safetensors and is not a bundle" in capsys.readouterr().err
    assert list_files(hub.folder / "main") == ["model.safetensors"]


def test_a_bundle_is_replaced(fake_bundle, hub):
    push(fake_bundle)
    push(fake_bundle, "--sets", "vision")
    assert Bundle.load("me/shop", verify="full").sets == ("vision",)


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (errors.LocalTokenNotFoundError("no token"), "hf auth login"),
        (refused(401), "hf auth login"),
        (refused(403), "no write access to me/shop"),
        (httpx.ConnectError("name not known"), "cannot be reached"),
    ],
)
def test_what_goes_wrong_is_one_sentence(fake_bundle, hub, capsys, error, says):
    hub.error = error
    assert push(fake_bundle) == 2
    told = capsys.readouterr().err
    assert told.startswith("error: ") and says in told and told.count("\n") == 1


def test_options_that_cannot_work(fake_bundle, hub, capsys):
    for options, says in (
        (["--push", "shop"], "OWNER/NAME"),
        (["--private", "--out", "x"], "need --push"),
        ([], "Nothing to export"),
    ):
        assert main(["export", str(fake_bundle), *options]) == 2
        assert says in capsys.readouterr().err
    assert hub.calls == []
