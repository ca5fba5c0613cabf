"""Evaluates the embedded model on products with looks that it was not trained on."""

import random

import torch
from torch import Tensor
from transformers import Idefics3ForConditionalGeneration, PreTrainedTokenizerFast

from tpad.embedded import tiny
from tpad.embedded.data import FACTS, Prompter, draw_all, random_product
from tpad.mllm.instructions import item_text
from tpad.world.attributes import looks
from tpad.world.language import write


@torch.no_grad()
def measure(
    model: Idefics3ForConditionalGeneration,
    tokenizer: PreTrainedTokenizerFast,
    *,
    seed: int,
    count: int = 768,
    workers: int = 2,
) -> dict[str, float]:
    """Accuracy of the facts in generated descriptions of products with reserved looks.

    The input is picture, title and description, and generation is greedy. A fact is correct if it is in
    its place in the description. Spec and brand count only if the text mentions them.

    Args:
        model: the model.
        tokenizer: its tokenizer.
        seed: seed of the products.
        count: maximum number of products.
        workers: processes that draw pictures.

    Returns:
        Accuracy by fact, and `visible`, the mean over the four facts that the picture shows.
    """
    rng = random.Random(f"{seed}/measure")
    reserved = looks(reserved=True)
    chosen = rng.sample(reserved, min(count, len(reserved)))
    pictures = draw_all(chosen, len(chosen), seed + 9_999, workers)
    prompter = Prompter(tokenizer)
    right = {name: 0 for name in (*FACTS, "spec", "brand")}
    asked = dict(right)
    for row, look in enumerate(chosen):
        product = random_product(look, rng)
        written = write(product, rng)
        text = item_text(written.title, written.description)
        answer = greedy(model, prompter, text, pictures[row : row + 1])
        asked |= {fact: asked[fact] + 1 for fact in FACTS}
        for fact, found in read_facts(answer).items():
            right[fact] += found == getattr(look, fact)
        if written.tells_spec:
            asked["spec"] += 1
            right["spec"] += answer.split(", by ")[0].endswith(f" {product.spec}")
        if written.tells_brand:
            asked["brand"] += 1
            right["brand"] += answer.endswith(f"by {product.brand}")
    shares = {name: round(right[name] / max(asked[name], 1), 4) for name in right}
    shares["visible"] = round(sum(shares[fact] for fact in FACTS) / len(FACTS), 4)
    return shares


def read_facts(description: str) -> dict[str, str | None]:
    """The visible facts in a plain description; None for a fact that it does not contain."""
    words = description.split(" ")
    kind = " ".join(words[2:]).split(" with ")[0]
    emblem = description.split(" with ", 1)[-1].split(" emblem")[0]
    found = {
        "type": kind,
        "colour": words[0],
        "pattern": words[1] if len(words) > 1 else "",
        "emblem": "none" if emblem == "no" else emblem,
    }
    return {fact: value if value in FACTS[fact] else None for fact, value in found.items()}


def greedy(
    model: Idefics3ForConditionalGeneration, prompter: Prompter, text: str, picture: Tensor
) -> str:
    """Generate the description of a product, without sampling."""
    ids, _ = prompter.turn(text, None, has_picture=True)
    seen = model.model.connector(tiny.tower(model, picture.float() / 127.5 - 1.0))
    embedded = model.get_input_embeddings()(torch.tensor([ids]))  # (1, L, d)
    place = (torch.tensor([ids]) == prompter.image)[..., None].expand_as(embedded)
    written = model.generate(
        inputs_embeds=embedded.masked_scatter(place, seen.to(embedded.dtype)),
        attention_mask=torch.ones(1, len(ids), dtype=torch.long),
        max_new_tokens=40,
        do_sample=False,
    )
    answer = prompter.tokenizer.decode(written[0], skip_special_tokens=True)
    assert isinstance(answer, str)  # not a list, because it is a single row
    return answer.strip()
