"""An untrained embedded model in a folder, for tests of whatever needs a base model.

folder = make_tiny_base(tmp_path / "base")
mllm = MLLM.load(folder, device="cpu")
"""

import random
from pathlib import Path

import torch

from tpad.embedded import tiny
from tpad.embedded.data import random_product
from tpad.world.attributes import looks
from tpad.world.language import describe, write


def tokenizer_texts(count: int = 400) -> list[str]:
    """Titles, descriptions and plain descriptions of products, the same at every call."""
    rng = random.Random(0)
    texts = []
    for look in rng.sample(looks(reserved=False), count):
        product = random_product(look, rng)
        text = write(product, rng)
        texts += [text.title, text.description, describe(product)]
    return texts


def make_tiny_base(folder: str | Path, vocabulary: int = 700) -> Path:
    """Write the model, as `tpad pretrain` would (bf16, with its processor), without training it.

    Its weights are larger than at initialisation, so that inputs make a difference.
    """
    torch.manual_seed(0)
    tokenizer = tiny.make_tokenizer(tokenizer_texts(), vocabulary)
    model = tiny.make_model(tokenizer)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.03)
    model.to(torch.bfloat16).save_pretrained(folder)
    tiny.make_processor(tokenizer).save_pretrained(folder)
    return Path(folder)
