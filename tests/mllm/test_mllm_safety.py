"""A checkpoint or an adapter that requests code or kernels is rejected before it is read."""

import ast
import json
import shutil
from pathlib import Path

import pytest

from eval.models.encoders import encode_items
from tpad.errors import ModelError
from tpad.mllm import MLLM, LoraSettings
from tpad.mllm.safety import check_checkpoint

ROOT = Path(__file__).parents[2]


def change(file: Path, **settings) -> None:
    content = json.loads(file.read_text()) if file.exists() else {}
    file.write_text(json.dumps(content | settings))


def test_no_call_trusts_remote_code():
    violations = []
    for path in (
        path for folder in ("tpad", "eval", "app") for path in (ROOT / folder).rglob("*.py")
    ):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            name = (
                getattr(node.func, "attr", getattr(node.func, "id", ""))
                if (isinstance(node, ast.Call))
                else ""
            )
            if name in ("from_pretrained", "SentenceTransformer", "CrossEncoder", "pipeline"):
                given = {word.arg: ast.unparse(word.value) for word in node.keywords}
                if given.get("trust_remote_code") != "False":
                    violations.append(f"{path.relative_to(ROOT)}:{node.lineno}: {name}")
    assert violations == []


CASES = {
    "code of the model": ("config.json", {"auto_map": {"AutoModel": "evil.Model"}}, "auto_map"),
    "code of the tokenizer": ("tokenizer_config.json", {"auto_map": ["evil.T", None]}, "auto_map"),
    "code of the processor": ("processor_config.json", {"auto_map": {"P": "e.P"}}, "auto_map"),
    "an attention kernel": (
        "config.json",
        {"_attn_implementation": "owner/kernel"},
        "owner/kernel",
    ),
    "a kernel of a part": (
        "config.json",
        {"attn_implementation": {"vision_config": "o/k@v1:f"}},
        "o/k@v1:f",
    ),
    "a nested kernel": ("config.json", {"extra": [{"attn_implementation": "o/k"}]}, "o/k"),
    "kernels for experts": ("config.json", {"_experts_implementation": "sonicmoe"}, "sonicmoe"),
    "kernels": ("config.json", {"use_kernels": True}, "use_kernels"),
    "a quantiser": ("config.json", {"quantization_config": {"quant_method": "eetq"}}, "eetq"),
    "other files": (
        "config.json",
        {"configuration_files": ["config.9.json"]},
        "another config file",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_requests_for_code_are_rejected_before_transformers_reads_them(case, copy, monkeypatch):
    name, settings, named = CASES[case]
    change(copy / name, **settings)
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("asked on the terminal"))
    monkeypatch.setattr(
        "transformers.PreTrainedConfig.get_config_dict", lambda *_, **__: pytest.fail("was read")
    )
    for load in (lambda: MLLM.load(copy, device="cpu"), lambda: encode_items(str(copy), None)):
        with pytest.raises(ModelError) as refused:
            load()
        assert named in str(refused.value) and name in str(refused.value)


def test_common_settings_are_accepted(copy):
    change(
        copy / "config.json", _attn_implementation="flash_attention_2", auto_map={}, use_cache=True
    )
    check_checkpoint(copy)
    assert MLLM.load(copy, device="cpu").model.config._attn_implementation == "sdpa"


@pytest.mark.parametrize("content", ["[" * 100_000, "{", "[]", "\udcff"])
def test_damaged_config_files_are_reported(copy, content):
    (copy / "generation_config.json").write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(ModelError, match=r"generation_config\.json is damaged"):
        MLLM.load(copy, device="cpu")


def test_a_folder_with_only_an_adapter_is_rejected(tmp_path):
    change(tmp_path / "adapter_config.json", peft_type="LORA", base_model_name_or_path="o/base")
    (tmp_path / "adapter_model.safetensors").touch()
    with pytest.raises(
        ModelError, match=r"only an adapter.*base model \(o/base\).*merge_and_unload"
    ):
        MLLM.load(tmp_path)


def test_an_adapter_beside_a_model_is_rejected(copy):
    change(copy / "adapter_config.json", peft_type="LORA", base_model_name_or_path="o/base")
    with pytest.raises(ModelError, match=r"adapter_config\.json\) beside a model"):
        MLLM.load(copy)


@pytest.fixture(scope="module")
def saved(idefics3, tmp_path_factory):
    """The folder of an adapter, and the model that has it."""
    folder = tmp_path_factory.mktemp("adapters") / "a"
    mllm = MLLM.load(idefics3, device="cpu")
    mllm.adapters.add("a", LoraSettings(rank=2))
    mllm.adapters.save("a", folder)
    return folder, mllm


class TestAdapters:
    @pytest.mark.parametrize(
        ("settings", "named"),
        [
            ({"megatron_config": {"a": 1}, "megatron_core": "antigravity"}, "megatron_config"),
            ({"corda_config": {"cache_file": "evil.pt"}}, "corda_config"),
            ({"layer_replication": [[0, 10_000_000]]}, "layer_replication"),
            ({"rank_pattern": {"(a+)+$": 4}}, "rank_pattern"),
            ({"exclude_modules": "(a+)+$"}, "exclude_modules"),
            ({"peft_type": "BOFT"}, "not a LoRA adapter"),
            ({"auto_map": {"x": "y"}}, "auto_map"),
        ],
    )
    def test_only_plain_lora_is_supported(self, saved, tmp_path, settings, named):
        folder, mllm = saved
        copy = shutil.copytree(folder, tmp_path / "copy")
        change(copy / "adapter_config.json", **settings)
        with pytest.raises(ModelError, match=rf"The adapter in .*{named}"):
            mllm.adapters.load("b", copy)
        assert mllm.adapters.names == ["a"]
