"""Tiny random language models and vision towers in folders, and a shop with pictures."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from mllm_models import MAKERS, make_text, picture, save
from PIL import Image
from transformers import (
    CLIPConfig,
    CLIPModel,
    CLIPVisionConfig,
    CLIPVisionModel,
    PreTrainedModel,
    SiglipConfig,
    SiglipModel,
    SiglipVisionConfig,
    SiglipVisionModel,
)
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

COLOURS = ("red", "blue")
VISION = {
    "hidden_size": 24,
    "intermediate_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "image_size": 32,
    "patch_size": 8,
}
TEXT = {**VISION, "vocab_size": 64, "bos_token_id": 1, "eos_token_id": 2}


def _clip() -> tuple[PreTrainedModel, CLIPImageProcessorPil]:
    config = CLIPConfig(text_config=TEXT, vision_config=VISION, projection_dim=16)
    return CLIPModel(config), _clip_images()


def _clip_images() -> CLIPImageProcessorPil:
    return CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})


TOWERS: dict[str, Callable] = {
    "clip": _clip,
    "clip_vision": lambda: (CLIPVisionModel(CLIPVisionConfig(**VISION)), _clip_images()),
    "siglip": lambda: (
        SiglipModel(SiglipConfig(text_config=TEXT, vision_config=VISION)),
        SiglipImageProcessorPil(size={"height": 32, "width": 32}),
    ),
    "siglip_vision": lambda: (
        SiglipVisionModel(SiglipVisionConfig(**VISION)),
        SiglipImageProcessorPil(size={"height": 32, "width": 32}),
    ),
    "llava": MAKERS["llava"],
    "idefics3": MAKERS["idefics3"],
    "smolvlm": MAKERS["smolvlm"],
}


def write(made: tuple, folder: Path) -> Path:
    """Write model and processor in bfloat16, with larger weights than at initialisation."""
    with torch.no_grad():
        for parameter in made[0].parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    return save((made[0].to(torch.bfloat16), made[1]), folder)


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory) -> Callable[[str], Path]:
    """Name of a tower or of a family -> the folder of its checkpoint."""
    root = tmp_path_factory.mktemp("parts")

    def find(name: str) -> Path:
        folder = root / name
        if not folder.exists():
            torch.manual_seed(0)
            make = TOWERS.get(name) or MAKERS.get(name) or (lambda: make_text(name))
            write(make(), folder)
        return folder

    return find


@pytest.fixture(scope="session")
def shop(tmp_path_factory) -> Path:
    """An item table: 40 pictures of one colour each, and some items that cannot be used."""
    folder = tmp_path_factory.mktemp("shop")
    rows = ["item_id,title,description,image"]
    for n in range(40):
        colour = COLOURS[n % 2]
        name = f"{n}.png"
        Image.blend(Image.new("RGB", (40, 40), colour), picture(n), 0.2).save(folder / name)
        rows.append(f"{n},a {colour} case,,{name}")
    picture(0).save(folder / "plain.png")
    (folder / "broken.png").write_bytes(b"no picture")
    rows += ["a,no picture,,", "b,,,plain.png", "c,unreadable,,broken.png", "d,lost,,lost.png"]
    (folder / "items.csv").write_text("\n".join(rows) + "\n", "utf-8")
    return folder / "items.csv"
