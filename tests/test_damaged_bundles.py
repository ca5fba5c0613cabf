"""Whatever is wrong inside of a bundle, one sentence says in which file."""

import json
import os
import shutil
from pathlib import Path

import pytest
from damages import ENCODERS, INFO, ITEMS, MODELS, TABLES, field, table
from fake_bundle import list_again
from small_bundle import make_small_bundle

from tpad import Bundle, NewItem, Recommender
from tpad.bundle import write_bundle
from tpad.bundle.files import summarise
from tpad.errors import BundleError


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> Path:
    """A bundle with a real encoder; to be read only."""
    return make_small_bundle(tmp_path_factory.mktemp("small") / "bundle")


@pytest.fixture
def copy(small, tmp_path):
    """A copy whose files can be replaced, but not written to: they are those of `small`."""
    return Path(shutil.copytree(small, tmp_path / "copy", copy_function=os.link))


def use(folder: Path, *, new_item: bool) -> None:
    """Open a bundle and recommend; with `new_item`, its encoder is used, too."""
    bundle = Bundle.load(folder, device="cpu")
    shop = Recommender(bundle)
    session = ["item-0001", NewItem(title="a red shoe")] if new_item else ["item-0001"]
    for name in bundle.sets:
        assert len(shop.recommend(session, 3, model=name)) == 3


def refused(folder: Path, *, new_item: bool = False) -> str:
    with pytest.raises(BundleError) as error:
        use(folder, new_item=new_item)
    sentence = str(error.value)
    assert "\n" not in sentence and sentence.endswith(".") and len(sentence) < 700
    sentence.encode()  # fit for a terminal
    return sentence


def test_the_bundle_itself_is_whole(small):
    use(small, new_item=True)


@pytest.mark.parametrize(("name", "damage"), (TABLES | MODELS).values(), ids=[*TABLES, *MODELS])
def test_damage_to_tables_and_recommenders(copy, name, damage):
    damage(copy)
    list_again(copy)
    assert name in refused(copy)


@pytest.mark.parametrize(("name", "damage"), ENCODERS.values(), ids=ENCODERS)
def test_damage_to_the_encoder(copy, name, damage):
    damage(copy)
    list_again(copy)
    assert name in refused(copy, new_item=True)


@pytest.mark.parametrize("damage", INFO.values(), ids=INFO)
def test_damage_to_what_is_said_of_the_bundle(copy, damage):
    damage(copy)
    assert "bundle.json" in refused(copy)


class TestUnlisted:
    """Files that nobody listed are not opened, whoever looks for them."""

    @pytest.mark.parametrize(
        "name",
        [
            "base/chat_template.json",
            "base/generation_config.json",
            "base/tokenizer.model",
            "base/additional_chat_templates/tools.jinja",
            "base/.hidden.json",
            "base/adapter_config.json",
            "base/model.safetensors.index.json",
            "adapters/student/README.md",
            "adapters/other/adapter_config.json",
            "popularity.parquet",
            "arrivals/arrivals.csv",
            "images/more.webp",
            "world.json",
        ],
    )
    def test_a_file_that_would_be_picked_up(self, copy, name):
        info = json.loads((copy / "bundle.json").read_text())
        for part in ("checksums", "sizes"):
            info[part].pop(name, None)
        (copy / "bundle.json").unlink()
        (copy / "bundle.json").write_text(json.dumps(info))
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).unlink(missing_ok=True)
        (copy / name).write_text("{}")
        sentence = refused(copy)
        assert name in sentence and "is not listed" in sentence

    def test_other_files_may_lie_about(self, copy):
        for name in ("notes.txt", ".gitattributes", "results.db", "images/.DS_Store"):
            (copy / name).write_text("mine")
        use(copy, new_item=False)

    def test_a_folder_that_is_a_link(self, copy, tmp_path):
        shutil.move(copy / "base", tmp_path / "outside")
        os.symlink(tmp_path / "outside", copy / "base")
        list_again(copy)
        assert "base" in refused(copy, new_item=True)

    def test_a_link_in_the_base(self, copy, tmp_path):
        outside = tmp_path / "outside.json"
        shutil.move(copy / "base" / "tokenizer.json", outside)
        os.symlink(outside, copy / "base" / "tokenizer.json")
        list_again(copy)
        assert "link that leads out" in refused(copy)

    def test_a_file_that_comes_after_the_check(self, copy):
        bundle = Bundle.load(copy, device="cpu")
        (copy / "base" / "chat_template.json").write_text("{}")
        with pytest.raises(BundleError, match=r"chat_template\.json is not listed"):
            bundle.encoder  # noqa: B018

    def test_pictures_elsewhere_in_the_bundle(self, copy):
        field("bundle.json", "dataset.image_root", "base")(copy)
        (copy / "base" / "images").mkdir()
        os.link(copy / "images" / "item-0001.webp", copy / "base" / "images" / "item-0001.webp")
        assert "is not listed" in refused(copy)

    def test_a_picture_that_is_not_listed(self, copy):
        table(ITEMS, lambda f: f.replace({"image": {"images/item-0001.webp": "x.webp"}}))(copy)
        (copy / "x.webp").write_bytes((copy / "images" / "item-0001.webp").read_bytes())
        info = json.loads((copy / "bundle.json").read_text())
        whole = summarise(copy)
        for part in ("checksums", "sizes"):
            info[part] = {k: v for k, v in whole[part].items() if k != "x.webp"}
        (copy / "bundle.json").unlink()
        (copy / "bundle.json").write_text(json.dumps(info))
        assert "x.webp is a picture" in refused(copy)

    def test_a_hub_id_that_is_a_folder_here(self, copy, tmp_path, monkeypatch):
        base = {"hub_id": "org/model", "revision": "0" * 40}
        field("encoder.json", "base", base)(copy)
        list_again(copy)
        shutil.copytree(copy / "base", tmp_path / "org" / "model")
        monkeypatch.chdir(tmp_path)
        assert "path on this machine" in refused(copy, new_item=True)


def test_two_writes_of_the_same_content_have_equal_checksums(small, tmp_path):
    bundle = Bundle.load(small, device="cpu")
    again = write_bundle(
        tmp_path / "again",
        dataset=bundle.dataset,
        encoder=bundle.encoder,
        embeddings=bundle.embeddings,
        recommenders=bundle.recommenders,
        config=bundle.config,
    )
    assert Bundle.load(again).info["checksums"] == bundle.info["checksums"]
