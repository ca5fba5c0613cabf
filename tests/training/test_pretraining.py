"""Pretraining of the embedded model: it reads exactly as the model will be read later."""

import random
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_base import make_tiny_base

from tpad.embedded import (
    answers,
    data as pretraining_data,
    measure as pretraining_measure,
    pretraining,
    tiny,
)
from tpad.embedded.data import Prompter
from tpad.embedded.measure import read_facts
from tpad.mllm import MLLM, ItemInput, Turn
from tpad.mllm.collator import collate
from tpad.mllm.features import encode_images
from tpad.mllm.generation import generate
from tpad.mllm.instructions import DESCRIBE
from tpad.world.attributes import SPECS, looks
from tpad.world.drawing.product import draw
from tpad.world.language import describe

TEXTS = [
    "Kipo phone case Nova 5\nMade for Nova5. See picture for the design.",
    "",
    "  smoothie, 500 g, frais\u0301e (SALE) 手机 'quoted' ",
]
ANSWERS = ["red plain phone case with no emblem, series nova 5", "jam", "teal dotted juice, by X"]


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return make_tiny_base(tmp_path_factory.mktemp("tiny") / "base")


@pytest.fixture(scope="module")
def mllm(base):
    return MLLM.load(base, device="cpu")


@pytest.fixture(scope="module")
def pictures() -> list[Image.Image]:
    some = random.Random(0).sample(looks(), 3)
    return [draw(look, seed, tiny.IMAGE_SIZE) for seed, look in enumerate(some)]


def as_tensor(pictures: list[Image.Image]) -> torch.Tensor:
    """(n, 3, 96, 96) uint8, as pretraining keeps its pictures."""
    return torch.stack([torch.from_numpy(np.array(p)).permute(2, 0, 1) for p in pictures])


def conversation(pictures, shown: tuple[bool, ...], answered: tuple[bool, ...]) -> list[Turn]:
    return [
        Turn(ItemInput(picture if there else None, text), DESCRIBE, answer if given else None)
        for picture, text, answer, there, given in zip(
            pictures, TEXTS, ANSWERS, shown, answered, strict=False
        )
    ]


def prompted(prompter: Prompter, turns: list[Turn]) -> tuple[list[int], list[int]]:
    ids, labels = [], []
    for turn in turns:
        # Whoever reads later strips texts; those of the shop have nothing to strip.
        more = prompter.turn(turn.item.text.strip(), turn.answer, turn.item.image is not None)
        ids, labels = ids + more[0], labels + more[1]
    return ids, labels


@pytest.mark.parametrize(
    ("shown", "answered"),
    [
        ((True,), (True,)),
        ((True,), (False,)),
        ((False, True), (True, False)),
        ((True, True, True), (True, True, True)),
        ((True, False, True), (True, True, False)),
    ],
)
def test_prompts_are_those_that_are_read_later(mllm, pictures, shown, answered):
    """Ids and labels equal those of `MLLM.collate`, and ids those of processor and template."""
    turns = conversation(pictures, shown, answered)
    ids, labels = prompted(Prompter(mllm.tokenizer), turns)
    batch = collate(mllm, [turns], with_labels=True)
    assert ids == batch.input_ids[0].tolist()
    assert labels == batch.labels[0].tolist()

    messages = []
    for turn in turns:
        words = f"{turn.item.text.strip()}\n{DESCRIBE}" if turn.item.text else DESCRIBE
        content = [{"type": "image"}] if turn.item.image is not None else []
        messages.append({"role": "user", "content": [*content, {"type": "text", "text": words}]})
        if turn.answer is not None:
            messages.append({"role": "assistant", "content": turn.answer})
    string = mllm.processor.apply_chat_template(
        messages, add_generation_prompt=turns[-1].answer is None
    )
    seen = [turn.item.image for turn in turns if turn.item.image is not None]
    assert mllm.processor(text=string, images=[seen])["input_ids"][0] == ids


def test_pixels_are_those_of_the_processor(mllm, pictures):
    wanted = mllm.processor.image_processor(pictures, return_tensors="pt")["pixel_values"]
    drawn = as_tensor(pictures).float() / 127.5 - 1.0
    assert torch.allclose(wanted.reshape(drawn.shape), drawn, atol=1e-6)


def test_the_tower_gives_what_the_common_class_caches(mllm, pictures):
    with torch.no_grad():
        patches = tiny.tower(mllm.model, as_tensor(pictures).float() / 127.5 - 1.0)
    assert torch.allclose(patches.mean(1), encode_images(mllm, pictures).tower, atol=1e-5)


@pytest.mark.parametrize("together", [1, 8])
def test_the_loss_is_that_of_the_common_class(mllm, pictures, monkeypatch, together):
    """One batch of conversations of different lengths, once through each of the two paths."""
    monkeypatch.setattr(answers, "GROUP_SIZE", together)
    monkeypatch.setattr(answers, "fast_autocast", nullcontext)
    chats = [
        conversation(pictures, (True, True, False), (True, True, True)),
        conversation(pictures[1:], (True,), (True,)),
    ]
    prompter = Prompter(mllm.tokenizer)
    batch = [(*prompted(prompter, chats[0]), [0, 1]), (*prompted(prompter, chats[1]), [1])]
    with torch.no_grad():
        patches = tiny.tower(mllm.model, as_tensor(pictures).float() / 127.5 - 1.0)
        mine = answers.answer_loss(mllm.model, batch, patches, mllm.tokenizer.pad_token_id)
        theirs = mllm.forward(collate(mllm, chats, with_labels=True)).loss
    assert mine.item() == pytest.approx(theirs.item(), abs=1e-4)


def test_reading_like_lengths_together_keeps_loss_and_gradient(mllm, pictures, monkeypatch):
    """However many conversations are read at once, the step is that of the whole batch."""
    monkeypatch.setattr(answers, "fast_autocast", nullcontext)
    prompter, rng, some = Prompter(mllm.tokenizer), random.Random(0), looks(reserved=False)
    batch = [
        pretraining_data.conversation(prompter, [(row, some[row]) for row in range(n)], rng)
        for n in (3, 1, 2, 1, 3)
    ]
    assert len({len(ids) for ids, _, _ in batch}) == 5
    with torch.no_grad():
        patches = tiny.tower(mllm.model, as_tensor(pictures).float() / 127.5 - 1.0)
    found = []
    for together in (5, 2):
        monkeypatch.setattr(answers, "GROUP_SIZE", together)
        mllm.model.zero_grad()
        loss = answers.answer_loss(mllm.model, batch, patches, mllm.tokenizer.pad_token_id)
        loss.backward()
        trained = [mllm.model.model.connector, mllm.model.model.text_model]
        gradient = torch.cat([p.grad.flatten() for part in trained for p in part.parameters()])
        found.append((loss.item(), gradient))
    mllm.model.zero_grad()
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-5)
    assert torch.allclose(found[0][1], found[1][1], rtol=1e-3, atol=1e-6)
    assert found[0][1].norm() > 0.1


def test_muon_takes_the_matrices_inside_the_network(mllm):
    reader = pretraining._Reader(tiny.WIDTH)
    modules = torch.nn.ModuleDict({"model": mllm.model.model, "reader": reader})
    matrices, others = pretraining._inner_matrices(modules)
    names = {id(p): name for name, p in modules.named_parameters()}
    assert {id(p) for p in matrices} | {id(p) for p in others} == set(names)
    inner = {names[id(p)] for p in matrices}
    assert "model.connector.modality_projection.proj.weight" in inner
    assert {n for n in inner if n.startswith("reader")} == {
        "reader.attention.in_proj_weight",
        "reader.attention.out_proj.weight",
    }
    assert not any("embed" in name or "norm" in name or "bias" in name for name in inner)
    per_layer = [n for n in inner if ".layers.0." in n]
    assert len(per_layer) == 6 + 7  # of the tower, of the language model


def test_greedy_writes_what_the_common_class_generates(mllm, pictures):
    with torch.no_grad():
        mine = pretraining_measure.greedy(
            mllm.model, Prompter(mllm.tokenizer), TEXTS[0], as_tensor(pictures[:1])
        )
    theirs = generate(
        mllm, [ItemInput(pictures[0], TEXTS[0])], instruction=DESCRIBE, max_new_tokens=40
    )  # an untrained model seldom ends before
    assert mine == theirs[0].strip()


def test_augmented_pictures_stay_pictures(pictures):
    pixels = as_tensor(pictures)
    generator = torch.Generator().manual_seed(0)
    changed = pretraining_data.augment(pixels, generator)
    assert changed.shape == (3, 3, 96, 96) and changed.abs().max() <= 1.0
    plain = pixels.float() / 127.5 - 1.0
    assert not torch.allclose(changed, plain, atol=0.05)
    assert (changed - plain).abs().mean() < 0.5
    again = pretraining_data.augment(pixels, torch.Generator().manual_seed(0))
    assert torch.equal(changed, again)


def test_conversations_ask_only_for_what_is_told(mllm, monkeypatch):
    """No answer names colour or spec where neither picture nor text tells it."""
    prompter = Prompter(mllm.tokenizer)
    rng = random.Random(1)
    answers = []

    def recorded(product, tells_spec=True, tells_brand=True, is_seen=True):
        answers.append((is_seen, tells_spec, describe(product, tells_spec, tells_brand, is_seen)))
        return answers[-1][2]

    monkeypatch.setattr(pretraining_data, "describe", recorded)
    some = looks(reserved=False)
    pictured = 0
    for row in range(300):
        ids, labels, rows = pretraining_data.conversation(prompter, [(row, some[row])], rng)
        seen = ids.count(prompter.image) == tiny.IMAGE_TOKENS
        pictured += seen
        assert rows == ([row] if seen else []) and seen == answers[-1][0]
        written = [label for label in labels if label != pretraining_data.IGNORE]
        assert mllm.tokenizer.decode(written[:-1]) == answers[-1][2]
        assert written[-1] == prompter.end
    assert 0.88 < pictured / 300 < 0.99
    assert all((" emblem" in text) == seen for seen, _, text in answers)
    assert all((", " in text.replace(", by", "")) == spec for _, spec, text in answers)


@pytest.mark.parametrize("look", random.Random(2).sample(looks(), 20), ids=str)
def test_facts_are_read_back_from_a_description(look):
    product = pretraining_data.random_product(look, random.Random(0))
    for tells in ((True, True), (False, False)):
        facts = read_facts(describe(product, *tells))
        assert facts == {
            "type": look.type,
            "colour": look.colour,
            "pattern": look.pattern,
            "emblem": look.emblem,
        }


@pytest.mark.parametrize("text", ["", "red", "phone case", "mauve tartan hovercraft with a hat"])
def test_facts_that_are_not_told_are_none(text):
    facts = read_facts(text)
    assert facts["pattern"] is None and facts["type"] is None and facts["emblem"] is None
    assert facts["colour"] == ("red" if text == "red" else None)


def test_measuring_counts_what_is_right(monkeypatch):
    """A perfect writer is right everywhere; one that is wrong in one fact is so in that fact."""
    told = []
    real_write = pretraining_measure.write
    sports = [look for look in looks(reserved=True) if look.type in ("shoe", "cap")]
    monkeypatch.setattr(pretraining_measure, "looks", lambda reserved=None: sports)
    monkeypatch.setattr(
        pretraining_measure,
        "draw_all",
        lambda some, n, *_: torch.zeros(n, 3, 96, 96, dtype=torch.uint8),
    )
    monkeypatch.setattr(
        pretraining_measure,
        "write",
        lambda product, rng: told.append(product) or real_write(product, rng),
    )

    class Tokenizer:
        def convert_tokens_to_ids(self, _):
            return 0

    def measured(wrong: str | None) -> dict[str, float]:
        def greedy(*_):
            product = told[-1]
            text = describe(product)
            sizes = SPECS["sports"]
            other = sizes[sizes.index(product.spec) - 1]
            change = {
                "spec": (f", size {product.spec},", f", size {other},"),
                "brand": (f"by {product.brand}", "by Nobody"),
                "colour": (f"{product.look.colour} ", "mauve "),
                "type": (product.look.type, "sock"),
            }
            return text.replace(*change[wrong], 1) if wrong else text

        monkeypatch.setattr(pretraining_measure, "greedy", greedy)
        return pretraining_measure.measure(None, Tokenizer(), seed=0, count=40)

    assert set(measured(None).values()) == {1.0}
    assert measured("spec")["spec"] == 0.0 and measured("spec")["brand"] == 1.0
    assert measured("brand")["brand"] == 0.0
    wrong = measured("colour")
    assert wrong["colour"] == 0.0 and wrong["visible"] == 0.75
    assert measured("type")["type"] == 0.0


def test_batches_hold_conversations_of_one_to_three_products(mllm):
    rng = random.Random(0)
    prompter, some = Prompter(mllm.tokenizer), looks()[:50]
    batches = list(pretraining_data.conversation_batches(prompter, some, 120, 20, 8, rng))
    assert [len(batch) for batch in batches] == [8] * 20
    shown = [rows for batch in batches for _, _, rows in batch]
    assert {len(rows) for rows in shown} >= {1, 2, 3}
    rows = {row for some_rows in shown for row in some_rows}
    assert rows <= set(range(120)) and len(rows) > 60
