"""Compares models of every family that are split over two processes with whole ones."""

from typing import Any

import numpy as np
import torch
from mllm_models import MAKERS, picture

from tpad.distributed import processes
from tpad.mllm import collate, encode_items, generate, score_answers
from tpad.mllm.model import MLLM
from tpad.mllm.prompts import ItemInput, Turn
from tpad.mllm.settings import ModelSettings


def differences() -> dict[str, float]:
    """Largest difference of anything that both give, by family, relative to the largest number of it."""
    return {family: _difference(family) for family in MAKERS}


def _difference(family: str) -> float:
    whole, split = (_results(family, how) for how in (None, processes.splitter()))
    assert whole.keys() == split.keys()
    return max(float(np.abs(x - split[key]).max() / np.abs(x).max()) for key, x in whole.items())


def _results(family: str, split: Any) -> dict[str, np.ndarray]:
    """What a model reads, writes and learns. The first process makes many more passes than the other."""
    torch.manual_seed(0)
    model, processor = MAKERS[family]()
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn_like(weight) * 0.02)
    settings = ModelSettings(gradient_checkpointing=family in ("llava", "qwen3_vl"))
    mllm = MLLM(model, processor, settings, device="cpu", split=split)
    layers = [0, 1, mllm.num_layers]
    items = [ItemInput(picture(n) if n % 2 else None, f"item {n}") for n in range(6)]
    many = items if processes.is_main() else items[:2]
    features = encode_items(mllm, many, layers=layers, batch_size=2)
    mllm.adapters.add("own")
    weights = mllm.adapters.parameters("own")
    with torch.no_grad():
        for weight in weights:
            weight.copy_(torch.randn_like(weight) * 0.02)
    results = {f"last.{layer}": features.last[layer] for layer in layers}
    results |= {f"image.{layer}": means for layer, means in features.image.items()}
    with mllm.adapters.use("own"):
        if processes.is_main():
            chat = [Turn(items[1], "")]
            results["scores"] = score_answers(mllm, [chat], [["a red case", "apple"]])[0]
            written = generate(mllm, items[:2], instruction="", max_new_tokens=5)
            results["written"] = np.frombuffer("|".join(written).encode(), np.uint8).astype(int)
        processes.barrier()
        mllm.model.train()
        chats = [[Turn(item, "", "a red case")] for item in items[:2]]
        output = mllm.forward(collate(mllm, chats, with_labels=True), layers=layers)
        (output.loss + output.hidden[1].square().mean()).backward()
    results["gradients"] = np.concatenate([weight.grad.ravel().numpy() for weight in weights])
    return results
