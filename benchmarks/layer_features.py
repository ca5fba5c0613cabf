"""Vectors of item texts from one layer of a language model, for `eval run --embeddings` or `train --features`.

    python benchmarks/layer_features.py --model smollm2 --items items.tsv --layer 6 --out smollm2.safetensors

The vector of an item is the mean of the hidden states of its text over all tokens but the first, whose state
is an outlier in many language models. Layers after the chosen one are not computed.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm
from transformers import AutoModel, AutoTokenizer

from tpad.data.columns import Columns
from tpad.data.items import read_items
from tpad.data.report import ReportBuilder
from tpad.errors import ConfigError, TpadError
from tpad.mllm.instructions import item_text
from tpad.model.embedding_sets import write_with_ids

BATCH = 32  # texts
MOST_TOKENS = 96


def layer_means(model: str, texts: Sequence[str], layer: int, prompt: str) -> np.ndarray:
    """Mean hidden state of each text at a layer: (n, d) float32.

    Args:
        model: folder or hub id of a causal language model.
        texts: n texts.
        layer: number of the layer, from 1.
        prompt: text in which each of them is placed at `{}`.

    Raises:
        ConfigError: the model has no such layer.
        OSError: there is no such model.
    """
    tokenizer = AutoTokenizer.from_pretrained(model)
    tokenizer.padding_side = "right"
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    network = AutoModel.from_pretrained(model, dtype=torch.float32).eval()
    if not 1 <= layer <= len(network.layers):
        raise ConfigError(f"There is no layer {layer}; choose one from 1 to {len(network.layers)}.")
    network.layers = network.layers[:layer]
    network.norm = torch.nn.Identity()  # of the last layer
    found: np.ndarray | None = None
    order = np.argsort([len(text) for text in texts])  # batches of similar lengths
    with torch.inference_mode():
        for start in tqdm(range(0, len(texts), BATCH)):
            rows = order[start : start + BATCH]
            batch = tokenizer(
                [prompt.format(texts[row]) for row in rows],
                return_tensors="pt",
                padding=True,
                truncation=True,
                max_length=MOST_TOKENS,
            )
            states = network(**batch).last_hidden_state  # (B, L, d)
            mask = batch["attention_mask"][:, :, None].float()  # (B, L, 1)
            mask[:, 0] = 0
            mean = (states * mask).sum(1) / mask.sum(1).clamp(min=1)  # (B, d)
            if found is None:
                found = np.zeros((len(texts), mean.shape[1]), np.float32)
            found[rows] = mean.numpy()
    assert found is not None
    return found


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", required=True, help="folder or hub id of a language model")
    parser.add_argument("--items", type=Path, required=True, help="item table")
    parser.add_argument("--layer", type=int, required=True, help="number of the layer, from 1")
    parser.add_argument("--prompt", default="{}", help="text around that of an item (%(default)s)")
    parser.add_argument("--out", type=Path, required=True, help="safetensors file")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    try:
        items = read_items(options.items, ReportBuilder())
        rows = items[[Columns.TITLE, Columns.DESCRIPTION]].itertuples(index=False)
        texts = [item_text(*row) for row in rows]
        vectors = layer_means(options.model, texts, options.layer, options.prompt)
        write_with_ids(options.out, items[Columns.ITEM_ID].tolist(), vectors)
    except (TpadError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    print(f"{options.out}: {len(vectors):,} vectors of {vectors.shape[1]} numbers")
    return 0


if __name__ == "__main__":
    sys.exit(main())
