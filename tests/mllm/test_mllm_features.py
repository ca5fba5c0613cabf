"""Features do not depend on saving, padding, batching or the image cache."""

import dataclasses
import sys

import numpy as np
import pytest
import torch
from mllm_models import picture, seeing
from PIL import Image
from safetensors.torch import load_file

from tpad.errors import ConfigError, ImageError, ModelError
from tpad.mllm import MLLM, ImageCache, ItemInput, Turn, collate, encode_images, encode_items

TOLERANCE = 2e-5
"""Rounding in float32, which depends on the number of rows in a matrix product."""


def assert_equal(one, other, tolerance: float = TOLERANCE) -> None:
    np.testing.assert_array_equal(one.has_image, other.has_image)
    np.testing.assert_array_equal(one.has_text, other.has_text)
    np.testing.assert_allclose(one.vision, other.vision, atol=tolerance)
    for name in ("image", "text", "last"):
        for layer, values in getattr(one, name).items():
            np.testing.assert_allclose(values, getattr(other, name)[layer], atol=tolerance)


def encode(mllm, items, batch_size=8, **kwargs):
    layers = range(mllm.num_layers + 1)
    return encode_items(
        mllm, items, instruction="Describe it.", layers=layers, batch_size=batch_size, **kwargs
    )


def test_features_have_the_stated_shapes_and_masks(loaded, items):
    features = encode(loaded, items)
    shown = [item.image is not None and loaded.sees for item in items]
    assert features.vision.shape == (5, loaded.vision_size)
    assert features.has_image.tolist() == shown
    assert features.has_text.tolist() == [True, True, True, False, True]
    assert set(features.last) == {0, 1, 2, 3}
    assert set(features.image) == (set(features.last) if loaded.sees else set())
    for part in (features.image, features.text, features.last):
        for values in part.values():
            assert values.shape == (5, loaded.hidden_size) and values.dtype == np.float32
    for part, given in ((features.image, features.has_image), (features.text, features.has_text)):
        for values in part.values():
            np.testing.assert_array_equal(np.abs(values).sum(1) > 0, given)
    np.testing.assert_array_equal(features.vision.any(1), shown)


@pytest.mark.parametrize("layer", [0, 1, 2])
def test_layers_after_the_last_needed_one_are_not_run(loaded, items, layer):
    run = []
    layers = loaded.model.get_decoder().layers
    handles = [
        one.register_forward_hook(lambda *_, number=number: run.append(number))
        for number, one in enumerate(layers, 1)
    ]
    some = encode_items(loaded, items, instruction="Describe it.", layers=[0, layer])
    for handle in handles:
        handle.remove()
    assert run == list(range(1, layer + 1))
    whole = encode(loaded, items)
    for name in ("image", "text", "last"):
        for number, values in getattr(some, name).items():
            np.testing.assert_allclose(values, getattr(whole, name)[number], atol=TOLERANCE)


def test_a_saved_model_gives_equal_features(loaded, items, tmp_path):
    loaded.save(tmp_path / "again")
    assert_equal(
        encode(loaded, items), encode(MLLM.load(tmp_path / "again", device="cpu"), items), 0
    )
    written = b"".join(p.read_bytes() for p in (tmp_path / "again").glob("*.json"))
    assert str(tmp_path).encode() not in written


def test_saving_replaces_the_folder_and_can_convert_to_bfloat16(loaded, tmp_path):
    loaded.save(tmp_path / "model")
    (tmp_path / "model" / "stray").touch()
    loaded.save(tmp_path / "model", dtype=torch.bfloat16)
    assert not (tmp_path / "model" / "stray").exists()
    assert [p.name for p in tmp_path.iterdir()] == ["model"]
    state = load_file(tmp_path / "model" / "model.safetensors")
    assert {t.dtype for t in state.values()} == {torch.bfloat16}
    assert MLLM.load(tmp_path / "model", device="cpu").model.dtype == torch.float32


def test_features_do_not_depend_on_batches(loaded, items):
    together = encode(loaded, items)
    assert_equal(together, encode(loaded, items, batch_size=1))
    order = [3, 0, 4, 2, 1]
    shuffled = encode(loaded, [items[i] for i in order], batch_size=2)
    back = np.argsort(order)
    moved = dataclasses.replace(
        shuffled,
        vision=shuffled.vision[back],
        has_image=shuffled.has_image[back],
        has_text=shuffled.has_text[back],
        **{
            name: {layer: values[back] for layer, values in getattr(shuffled, name).items()}
            for name in ("image", "text", "last")
        },
    )
    assert_equal(together, moved)


def test_features_do_not_depend_on_padding(loaded, items):
    conversations = [[Turn(item, "Describe it.")] for item in items]
    batch = collate(loaded, conversations)
    with torch.no_grad():
        hidden = loaded.forward(batch, layers=[2, 3], need_logits=False).hidden
        for row, conversation in enumerate(conversations):
            alone = collate(loaded, [conversation])
            expected = loaded.forward(alone, layers=[2, 3], need_logits=False).hidden
            real = batch.attention_mask[row].bool()
            assert torch.equal(batch.input_ids[row][real], alone.input_ids[0])
            assert torch.equal(
                batch.position_ids[..., row, :][..., real], alone.position_ids[..., 0, :]
            )
            for layer in (2, 3):
                np.testing.assert_allclose(
                    hidden[layer][row][real], expected[layer][0], atol=TOLERANCE
                )


def test_cached_images_give_equal_features(loaded, items, tmp_path):
    cache = encode_images(loaded, (item.image for item in items), batch_size=2)
    rows = [ItemInput(row, item.text) for row, item in enumerate(items)]
    expected = encode(loaded, items)
    assert_equal(expected, encode(loaded, rows, images=cache))
    np.testing.assert_array_equal(cache.has_image, expected.has_image)
    cache.save(tmp_path / "cache.safetensors")
    again = ImageCache.load(tmp_path / "cache.safetensors")
    assert_equal(expected, encode(loaded, rows, images=again))
    picked = cache.rows([4, 0])
    assert_equal(
        encode(loaded, [items[4], items[0]]),
        encode(loaded, [ItemInput(0, items[4].text), ItemInput(1, items[0].text)], images=picked),
    )


def test_a_missing_image_has_no_tokens(loaded):
    cache = encode_images(loaded, [picture(0), None, picture(1)])
    assert cache.has_image.tolist() == [loaded.sees, False, loaded.sees]
    assert cache.counts[1] == 0 and cache.counts.sum() == len(cache.flat)
    assert not cache.tower[1].any()


def test_all_images_may_be_missing(loaded):
    cache = encode_images(loaded, [None, None])
    features = encode(loaded, [ItemInput(0, "red"), ItemInput(1, "blue")], images=cache)
    assert_equal(features, encode(loaded, [ItemInput(None, "red"), ItemInput(None, "blue")]))


def test_an_empty_item_is_read_all_the_same(loaded):
    features = encode(loaded, [ItemInput(), ItemInput(None, " \n ")])
    assert not features.has_image.any() and not features.has_text.any()
    assert np.isfinite(features.last[3]).all()
    np.testing.assert_allclose(features.last[3][0], features.last[3][1], atol=TOLERANCE)


@seeing
@pytest.mark.parametrize(
    "image",
    [
        Image.new("RGB", (1, 1), "red"),
        Image.new("L", (300, 2), 80),
        Image.new("RGBA", (9, 200), (0, 0, 255, 20)),
        Image.new("CMYK", (30, 30)),
        Image.new("P", (30, 30)),
    ],
    ids=["1x1", "grey, thin", "transparent, tall", "CMYK", "palette"],
)
def test_unusual_images_are_read(loaded, image):
    features = encode(loaded, [ItemInput(image, "thing"), ItemInput(picture(1), "thing")])
    assert np.isfinite(features.vision).all() and features.has_image.all()


@seeing
def test_invalid_images_are_rejected(loaded):
    cache = encode_images(loaded, [picture(0)])
    with pytest.raises(ModelError, match="row of the cache"):
        collate(loaded, [[Turn(ItemInput(picture(0)))]], images=cache)
    with pytest.raises(ModelError, match="no image cache"):
        collate(loaded, [[Turn(ItemInput(0))]])
    with pytest.raises(ImageError, match="PIL"):
        encode_images(loaded, [np.zeros((8, 8, 3))])


def test_invalid_layers_and_long_texts_are_rejected(loaded):
    with pytest.raises(ConfigError, match="layer 9"):
        encode_items(loaded, [ItemInput(None, "red")], layers=[9])
    with pytest.raises(ModelError, match="longer than"):
        collate(loaded, [[Turn(ItemInput(None, "Nova 7 " * 2000))]])


@seeing
def test_torchvision_is_not_needed(loaded, items):
    encode(loaded, items[:1])
    assert "torchvision" not in sys.modules
    assert type(loaded.processor.image_processor).__name__.endswith("Pil")
    assert getattr(loaded.processor, "video_processor", None) is None
