"""Sizes of models and patterns of adapters are checked before anything is built."""

import base64
import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from eval.models.encoders import encode_items
from tpad.errors import ModelError
from tpad.mllm import MLLM, LoraSettings
from tpad.mllm.bounds import check_config
from tpad.mllm.tokenizer_bounds import check_tokenizer


def edit(file, **changes):
    """Change a JSON file; a name may be a path, such as text_config__hidden_size.

    The config of a model without pictures has no text_config: it is one itself.
    """
    content = json.loads(file.read_text())
    for path, value in changes.items():
        *parents, name = path.split("__")
        part = content
        for parent in parents:
            part = part if parent == "text_config" and parent not in part else part[parent]
        part[name] = value
    file.write_text(json.dumps(content))


@pytest.fixture
def copy(folder, tmp_path):
    """A checkpoint that a test may change."""
    return shutil.copytree(folder, tmp_path / "model")


@pytest.mark.parametrize("value", [10**7, 1025, -(10**7)])
def test_too_many_layers_are_rejected(copy, value):
    edit(copy / "config.json", text_config__num_hidden_layers=value)
    with pytest.raises(ModelError, match="num_hidden_layers to"):
        MLLM.load(copy, device="cpu")


@pytest.mark.parametrize("name", ["hidden_size", "intermediate_size", "vocab_size"])
def test_a_width_that_does_not_match_the_weights_is_rejected(copy, name):
    edit(copy / "config.json", **{f"text_config__{name}": 10**7})
    with pytest.raises(ModelError, match=r"(describes .* parameters|cannot be loaded)"):
        MLLM.load(copy, device="cpu")


def test_invalid_configs_are_rejected():
    nested: dict = {}
    for _ in range(40):
        nested = {"a": nested}
    for config, message in (
        ({"text_config": {"hidden_size": 1 << 40}}, "hidden_size"),
        ({"rope_theta": float("nan")}, "rope_theta"),
        (nested, "nested"),
        ({"layer_types": ["x"] * 100_000}, "layer_types"),
        ({"vision_config": {"depth": 5_000}}, "depth"),
    ):
        with pytest.raises(ModelError, match=message):
            check_config(config, "m")
    check_config({"rope_theta": 1e6, "max_position_embeddings": 1 << 20, "a": None}, "m")


@pytest.mark.parametrize("path", ["num_labels", "text_config__num_labels"])
def test_a_number_that_transformers_makes_a_list_of_is_bounded(copy, path):
    edit(copy / "config.json", **{path: 2_000_000_000})
    for load in (lambda: MLLM.load(copy, device="cpu"), lambda: encode_items(str(copy), None)):
        with pytest.raises(ModelError, match="num_labels to 2,000,000,000"):
            load()


@pytest.mark.parametrize("folder", ["llava"], indirect=True)
@pytest.mark.parametrize("name", ["size__shortest_edge", "crop_size__height"])
def test_pictures_are_not_made_far_larger_than_a_model_reads(copy, name):
    edit(copy / "processor_config.json", **{f"image_processor__{name}": 10**7})
    with pytest.raises(ModelError, match="up to 4,096"):
        MLLM.load(copy, device="cpu")


@pytest.mark.parametrize("folder", ["llava"], indirect=True)
def test_the_number_of_additional_image_tokens_in_the_file_is_not_used(copy):
    edit(copy / "processor_config.json", num_additional_image_tokens=10**9)
    assert MLLM.load(copy, device="cpu").processor.num_additional_image_tokens == 1


BOMB = {"type": "Replace", "pattern": {"String": "a"}, "content": "a" * 30}
DOUBLING = {
    "type": "ByteLevel",
    "add_prefix_space": False,
    "trim_offsets": True,
    "use_regex": False,
}
USUAL = {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": "▁"}


@pytest.mark.parametrize("folder", ["llava"], indirect=True)
@pytest.mark.parametrize(
    ("part", "content"),
    [
        ("normalizer", {"type": "Sequence", "normalizers": [BOMB] * 12}),
        ("pre_tokenizer", {"type": "Sequence", "pretokenizers": [DOUBLING] * 40}),
        ("decoder", {"type": "Sequence", "decoders": [BOMB] * 12}),
        ("normalizer", {"type": "Sequence", "normalizers": [{"type": "NFC"}] * 1_000}),
        ("normalizer", {"type": "Prepend", "prepend": "a" * 1_000_000}),
        ("normalizer", {"type": "Replace", "pattern": 3, "content": 4}),
    ],
)
def test_a_tokenizer_that_multiplies_the_length_of_a_text_is_rejected(copy, part, content):
    edit(copy / "tokenizer.json", **{part: content})
    for load in (lambda: MLLM.load(copy, device="cpu"), lambda: encode_items(str(copy), None)):
        with pytest.raises(ModelError, match=r"tokenizer\.json of the model"):
            load()


def test_the_steps_of_published_tokenizers_are_accepted():
    table = (4).to_bytes(4, "little") + b"trie" + "a\0صلى الله عليه وسلم\0".encode()
    steps = [{"type": "NFKC"}, {"type": "Precompiled"}, {"type": "Lowercase"}, USUAL]
    steps[1]["precompiled_charsmap"] = base64.b64encode(table).decode()
    metaspace = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always"}
    normalizer = {"type": "Sequence", "normalizers": steps}
    check_tokenizer({"normalizer": normalizer, "pre_tokenizer": metaspace, "decoder": None}, "t")
    steps[1]["precompiled_charsmap"] = base64.b64encode(table + b"b" * 10_000).decode()
    with pytest.raises(ModelError, match="longer"):
        check_tokenizer({"normalizer": normalizer}, "t")


def test_an_index_that_names_files_in_other_folders_is_rejected(copy):
    shutil.move(copy / "model.safetensors", copy.parent / "other.safetensors")
    index = {"metadata": {}, "weight_map": {"a": "../other.safetensors"}}
    (copy / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ModelError, match="other folders"):
        MLLM.load(copy, device="cpu")


one_family = pytest.mark.parametrize("folder", ["llava"], indirect=True)


@pytest.fixture
def adapter(mllm, tmp_path):
    mllm.adapters.add("a", LoraSettings(rank=2))
    mllm.adapters.save("a", tmp_path / "adapter")
    return tmp_path / "adapter"


def test_an_adapter_lists_its_modules_and_is_written_reproducibly(mllm, adapter, tmp_path):
    config = json.loads((adapter / "adapter_config.json").read_text())
    assert len(config["target_modules"]) == 7 * mllm.num_layers
    assert config["target_modules"] == sorted(config["target_modules"])
    mllm.adapters.load("b", adapter)
    mllm.adapters.save("b", tmp_path / "again")
    for file in adapter.iterdir():
        assert file.read_bytes() == (tmp_path / "again" / file.name).read_bytes()


@one_family
def test_a_regular_expression_from_a_file_is_not_used(mllm, adapter):
    """This expression takes exponential time; the target modules follow from the weights instead."""
    edit(adapter / "adapter_config.json", target_modules=r"((\w|\.)+)+#")
    mllm.adapters.load("b", adapter)
    assert len(mllm.adapters.parameters("b")) == len(mllm.adapters.parameters("a"))


@one_family
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"exclude_modules": "((\\w|\\.)+)+#"}, "exclude_modules"),
        ({"layers_pattern": "((\\w|\\.)+)+#"}, "layers_pattern"),
        ({"rank_pattern": {"((\\w|\\.)+)+#": 4}}, "rank_pattern"),
        ({"alpha_pattern": {"((\\w|\\.)+)+#": 4}}, "alpha_pattern"),
        ({"layer_replication": [[0, 10_000_000]]}, "layer_replication"),
        ({"megatron_config": {"a": 1}}, "megatron_config"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save"),
        ({"use_dora": True}, "use_dora"),
        ({"something_new": True}, "something_new"),
        ({"peft_type": "IA3"}, "not a LoRA adapter"),
        ({"r": 10_000_000}, "rank 10000000"),
        ({"r": "2"}, "rank '2'"),
        ({"r": 3}, "do not belong together"),
        ({"lora_alpha": "NaN"}, "lora_alpha"),
        ({"lora_dropout": 2}, "lora_dropout"),
        ({"use_rslora": "yes"}, "use_rslora"),
        ({"bias": "all"}, "biases"),
        ({"target_modules": None}, "no usable list"),
        ({"target_modules": [1, 2]}, "no usable list"),
        ({"target_modules": ["nothing"]}, "fits no layer"),
    ],
)
def test_unsupported_settings_of_an_adapter_are_rejected(mllm, adapter, changes, message):
    edit(adapter / "adapter_config.json", **changes)
    with pytest.raises(ModelError, match=message) as error:
        mllm.adapters.load("b", adapter)
    assert mllm.adapters.names == ["a"] and "\n" not in str(error.value)


@one_family
def test_an_adapter_with_nan_is_rejected(mllm, adapter):
    file = adapter / "adapter_model.safetensors"
    weights = load_file(file)
    weights[min(weights)][0, 0] = torch.nan
    save_file(weights, file)
    with pytest.raises(ModelError, match="NaN"):
        mllm.adapters.load("b", adapter)
