"""Vision towers are taken out of checkpoints."""

import pytest
import torch
from safetensors.torch import load_file

from tpad.assembly.tower import load_tower
from tpad.errors import ModelError
from tpad.training.base import Base

LAYOUTS = {
    "clip": "llava",
    "clip_vision": "llava",
    "siglip": "llava",
    "siglip_vision": "llava",
    "llava": "llava",
    "idefics3": "idefics3",
    "smolvlm": "idefics3",
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_the_weights_are_those_of_the_checkpoint(model_folder, name):
    folder = model_folder(name)
    tower = load_tower(Base.find(str(folder)))
    assert tower.layout == LAYOUTS[name]
    stored = load_file(folder / "model.safetensors")
    layer = "encoder.layers.1.self_attn.k_proj.weight"
    (key,) = [key for key in stored if key.endswith(layer) and "text" not in key]
    assert torch.equal(tower.state[layer], stored[key].float())
    assert not any("head." in key for key in tower.state)  # of SigLIP


def test_settings_of_the_layout_follow_from_the_tower(model_folder):
    def options(name):
        return load_tower(Base.find(str(model_folder(name)))).options

    assert options("idefics3") == {"scale_factor": 2}
    assert options("clip")["vision_feature_select_strategy"] == "default"
    assert options("siglip_vision")["vision_feature_select_strategy"] == "full"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("llama", "'llama' and has no vision tower"),
        ("qwen3_vl", "cannot be taken out of its model"),
        ("nowhere", "There is no model folder"),
        ("model.gguf", "GGUF file .* has no vision tower"),
    ],
)
def test_other_checkpoints_are_refused(model_folder, tmp_path, name, message):
    given = name in ("llama", "qwen3_vl")
    path = model_folder(name) if given else tmp_path / name
    with pytest.raises(ModelError, match=message):
        load_tower(Base.find(str(path)))


def test_no_pickle_is_read(model_folder, tmp_path):
    source = model_folder("clip_vision")
    for name in ("config.json", "preprocessor_config.json"):
        (tmp_path / name).write_bytes((source / name).read_bytes())
    torch.save(load_file(source / "model.safetensors"), tmp_path / "pytorch_model.bin")
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_tower(Base.find(str(tmp_path)))
