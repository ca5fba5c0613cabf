"""Folders of sentence-transformers: every module is supported, or named in an error."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from small_shops import dataset_of
from test_hub_encoders import TEXT, clip, tokenizer
from torch.nn import functional as F
from transformers import BertConfig, BertModel, T5Config, T5EncoderModel

from eval.models.encoders import encode_items
from eval.models.pooling import LEGACY, pooled, pooling_modes
from tpad import ModelError

TITLES = ["red case", "green phone phone case", "soup", "jam red red soup phone"]
OLD = "sentence_transformers.models."
NEW = "sentence_transformers.sentence_transformer.modules.pooling."


@pytest.fixture
def shop():
    return dataset_of([[0, 1]], [], [], 4, title=TITLES)


@pytest.fixture
def folder(tmp_path):
    torch.manual_seed(0)
    BertModel(BertConfig(**TEXT)).save_pretrained(tmp_path)
    tokenizer().save_pretrained(tmp_path)
    return tmp_path


def write(folder, name, content):
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(json.dumps(content))


def modules(folder, *listed):
    """Lists modules as (type, path)."""
    rows = [{"idx": n, "name": str(n), "path": p, "type": t} for n, (t, p) in enumerate(listed)]
    write(folder, "modules.json", rows)


def pooling(folder, *modes):
    """A Transformer with Pooling, as the folder has it since version 2."""
    switches = {switch: mode in modes for switch, mode in LEGACY.items()}
    write(folder, "1_Pooling/config.json", {"word_embedding_dimension": 16, **switches})
    return (OLD + "Transformer", ""), (OLD + "Pooling", "1_Pooling")


def states_of(folder, texts=TITLES, limit=12):
    """States of each text alone, without padding: (L, 16) each."""
    model = BertModel.from_pretrained(folder).eval()
    with torch.no_grad():
        return [
            model(
                **tokenizer()([t], truncation=True, max_length=limit, return_tensors="pt")
            ).last_hidden_state[0]
            for t in texts
        ]


def as_table(vectors) -> np.ndarray:
    return F.normalize(torch.stack(vectors), dim=1).numpy()


ONE = {
    "cls": lambda s: s[0],
    "max": lambda s: s.max(0).values,
    "mean": lambda s: s.mean(0),
    "mean_sqrt_len_tokens": lambda s: s.sum(0) / len(s) ** 0.5,
    "weightedmean": lambda s: (
        (s * torch.arange(1, len(s) + 1)[:, None]).sum(0) / (len(s) * (len(s) + 1) / 2)
    ),
    "lasttoken": lambda s: s[-1],
}


@pytest.mark.parametrize("modes", [*((mode,) for mode in ONE), ("cls", "mean"), tuple(ONE)])
def test_every_mode_of_pooling_and_their_concatenation(shop, folder, modes):
    modules(folder, *pooling(folder, *modes))
    expected = [torch.cat([ONE[mode](s) for mode in modes]) for s in states_of(folder)]
    assert np.allclose(encode_items(str(folder), shop), as_table(expected), atol=1e-5)


@pytest.mark.parametrize("mode", ONE)
@pytest.mark.parametrize("prompt", [0, 2])
def test_padding_on_either_side_is_ignored(mode, prompt):
    torch.manual_seed(0)
    states, length = torch.randn(1, 7, 4), 4
    right = torch.tensor([[1] * length + [0] * 3])
    left = right.flip(1)
    moved = torch.cat([torch.randn(1, 3, 4), states[:, :length]], dim=1)
    first = pooled(states, right, (mode,), prompt)
    assert torch.allclose(first, pooled(moved, left, (mode,), prompt), atol=1e-6)
    if not prompt:
        assert torch.allclose(first[0], ONE[mode](states[0, :length]), atol=1e-6)


def test_modes_are_read_in_both_forms():
    assert pooling_modes({"pooling_mode": "lasttoken"}, "x") == ("lasttoken",)
    assert pooling_modes({"pooling_mode": ["mean", "cls"]}, "x") == ("mean", "cls")
    both = {"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": True}
    assert pooling_modes(both, "x") == ("cls", "mean")  # in the library's order
    assert pooling_modes({}, "x") == ("mean",)
    for settings in ({"pooling_mode": "median"}, {"pooling_mode_median_tokens": True}):
        with pytest.raises(ModelError, match=r"Pooling, whose mode .*median.* is not supported"):
            pooling_modes(settings, "x")


def dense(folder, name, activation="torch.nn.modules.activation.Tanh", **more):
    torch.manual_seed(1)
    weights = {"linear.weight": torch.randn(5, 16), "linear.bias": torch.randn(5)}
    settings = {"in_features": 16, "out_features": 5, "bias": True} | more
    write(folder, f"{name}/config.json", settings | {"activation_function": activation})
    save_file(weights, folder / name / "model.safetensors")
    return weights


def test_dense_layer_norm_and_normalisation_follow_the_pooling(shop, folder):
    norm = {"norm.weight": torch.rand(16), "norm.bias": torch.rand(16)}
    write(folder, "2_LayerNorm/config.json", {"dimension": 16})
    save_file(norm, folder / "2_LayerNorm" / "model.safetensors")
    weights = dense(folder, "3_Dense")
    modules(
        folder,
        *pooling(folder, "mean"),
        (OLD + "LayerNorm", "2_LayerNorm"),
        (OLD + "Dense", "3_Dense"),
        (OLD + "Dropout", ""),
        (OLD + "Normalize", "4_Normalize"),
    )
    expected = []
    for states in states_of(folder):
        one = F.layer_norm(states.mean(0), (16,), norm["norm.weight"], norm["norm.bias"])
        expected.append(torch.tanh(one @ weights["linear.weight"].T + weights["linear.bias"]))
    table = encode_items(str(folder), shop)
    assert table.shape == (4, 5)
    assert np.allclose(table, as_table(expected), atol=1e-5)


def test_the_longest_text_lower_case_and_the_prompt_are_read(shop, folder):
    modules(folder, *pooling(folder, "mean"))
    write(folder, "sentence_bert_config.json", {"max_seq_length": 3, "do_lower_case": True})
    shouted = dataset_of([[0, 1]], [], [], 4, title=[title.upper() for title in TITLES])
    table = encode_items(str(folder), shouted)
    expected = as_table([s.mean(0) for s in states_of(folder, limit=3)])
    assert np.allclose(table, expected, atol=1e-5)
    prompts = {"prompts": {"query": "soup ", "document": "jam "}, "default_prompt_name": "query"}
    write(folder, "config_sentence_transformers.json", prompts)
    prompted = [s.mean(0) for s in states_of(folder, ["jam " + t for t in TITLES], limit=3)]
    assert np.allclose(encode_items(str(folder), shop), as_table(prompted), atol=1e-5)


@pytest.mark.parametrize("kind", ["roberta", "distilbert", "xlm-roberta"])
def test_the_settings_of_old_versions_are_named_by_the_model(shop, folder, kind):
    modules(folder, *pooling(folder, "mean"))
    write(folder, f"sentence_{kind}_config.json", {"max_seq_length": 3})
    expected = as_table([s.mean(0) for s in states_of(folder, limit=3)])
    assert np.allclose(encode_items(str(folder), shop), expected, atol=1e-5)


def test_a_prompt_may_be_left_out_of_the_pooling(shop, folder):
    modules(folder, *pooling(folder, "mean"))
    write(folder, "1_Pooling/config.json", {"pooling_mode": "mean", "include_prompt": False})
    prompts = {"prompts": {"passage": "green jam "}}
    write(folder, "config_sentence_transformers.json", prompts)
    states = states_of(folder, ["green jam " + title for title in TITLES])
    expected = as_table([s[2:].mean(0) for s in states])
    assert np.allclose(encode_items(str(folder), shop), expected, atol=1e-5)


def test_the_transformer_may_be_in_a_subfolder(shop, folder, tmp_path_factory):
    outer = tmp_path_factory.mktemp("outer")
    modules(outer, (NEW + "Transformer", "0_Transformer"), (NEW + "Pooling", "1_Pooling"))
    write(outer, "1_Pooling/config.json", {"pooling_mode": "max"})
    folder.rename(outer / "0_Transformer")
    expected = as_table([s.max(0).values for s in states_of(outer / "0_Transformer")])
    assert np.allclose(encode_items(str(outer), shop), expected, atol=1e-5)


def test_a_clip_in_a_subfolder_is_read_as_one(shop, tmp_path):
    (tmp_path / "0_CLIPModel").mkdir()
    clip(tmp_path / "0_CLIPModel")
    expected = encode_items(str(tmp_path / "0_CLIPModel"), shop)
    modules(tmp_path, (OLD + "CLIPModel", "0_CLIPModel"))
    assert np.array_equal(encode_items(str(tmp_path), shop), expected)


def test_of_an_encoder_and_decoder_only_the_encoder_is_read(shop, folder):
    torch.manual_seed(0)
    config = T5Config(vocab_size=8, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2)
    model = T5EncoderModel(config).eval()
    model.save_pretrained(folder)
    modules(folder, *pooling(folder, "mean"))
    with torch.no_grad():
        states = model(**tokenizer()(TITLES[:1], return_tensors="pt")).last_hidden_state[0]
    assert np.allclose(encode_items(str(folder), shop)[0], as_table([states.mean(0)])[0], atol=1e-5)


@pytest.mark.parametrize(
    ("listed", "says"),
    [
        ([(OLD + "WordEmbeddings", "0_Words")], "WordEmbeddings in 0_Words"),
        ([(OLD + "StaticEmbedding", "")], "StaticEmbedding"),
        ([(OLD + "Transformer", "")], "Transformer without Pooling"),
        (["pooled", (OLD + "WeightedLayerPooling", "2_W")], "WeightedLayerPooling in 2_W"),
        (["pooled", (OLD + "LSTM", "2_LSTM")], "LSTM in 2_LSTM"),
        (["pooled", ("my_code.Head", "2_Head")], "code of the checkpoint's own"),
        (["pooled", (OLD + "Dense", "2_Odd")], "its activation my_code.Swish"),
        (["pooled", (OLD + "Dense", "2_Rest")], "its residual connection"),
        (["pooled", (OLD + "Dense", "2_Token")], "its input token_embeddings"),
        (["pooled", (OLD + "Dense", "2_None")], "has no 2_None/model.safetensors"),
        (["pooled", (OLD + "Dense", "2_Small")], "Dense in 2_Small is damaged"),
        (["pooled", (OLD + "Dense", "2_Broken")], "2_Broken/model.safetensors is damaged"),
        (["pooled", (OLD + "Dense", "../outside")], "which is not in its folder"),
        (["pooled", (3, "2")], "must give a type and a path"),
    ],
)
def test_unsupported_modules_are_named(shop, folder, listed, says):
    dense(folder, "2_Odd", "my_code.Swish")
    dense(folder, "2_Rest", use_residual=True)
    dense(folder, "2_Token", module_input_name="token_embeddings")
    dense(folder, "2_Small", in_features=7)
    dense(folder, "2_Broken")
    (folder / "2_Broken" / "model.safetensors").write_bytes(b"\xff" * 40)
    write(folder, "2_None/config.json", {"in_features": 16, "out_features": 5})
    rows = pooling(folder, "mean")
    modules(folder, *(r for each in listed for r in (rows if each == "pooled" else [each])))
    with pytest.raises(ModelError, match=says) as caught:
        encode_items(str(folder), shop)
    assert str(folder) in str(caught.value)


@pytest.mark.parametrize("text", ["{", '{"a": 1}', "[" * 10**5])
def test_an_invalid_list_of_modules_is_an_error(shop, folder, text):
    (folder / "modules.json").write_text(text)
    with pytest.raises(ModelError, match=r"modules\.json"):
        encode_items(str(folder), shop)


@pytest.mark.parametrize("modes", [("mean",), ("weightedmean", "lasttoken"), tuple(ONE)])
def test_the_library_gives_the_same_vectors(shop, folder, modes):
    """Runs if sentence-transformers is installed, which is not required."""
    library = pytest.importorskip("sentence_transformers")
    dense(folder, "2_Dense", in_features=16 * len(modes))
    weights = {"linear.weight": torch.randn(5, 16 * len(modes)), "linear.bias": torch.randn(5)}
    save_file(weights, folder / "2_Dense" / "model.safetensors")
    modules(
        folder,
        *pooling(folder, *modes),
        (OLD + "Dense", "2_Dense"),
        (OLD + "Normalize", "3_N"),
    )
    write(folder, "sentence_bert_config.json", {"max_seq_length": 4, "do_lower_case": True})
    prompts = {"prompts": {"document": "jam "}, "default_prompt_name": None}
    write(folder, "config_sentence_transformers.json", prompts)
    theirs = library.SentenceTransformer(str(folder), device="cpu").encode_document(TITLES)
    assert np.allclose(encode_items(str(folder), shop), theirs, atol=1e-5)
